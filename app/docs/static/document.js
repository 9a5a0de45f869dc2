// Loads the OpenAPI document. If the API serves it to users only, asks for a username and a password first.

const BASE = new URL("../", import.meta.url);

export async function loadDocument() {
  const response = await fetch(new URL("openapi.json", BASE));
  return response.status === 401 ? signIn() : documentOf(response);
}

async function documentOf(response) {
  const content = await response.json();
  if (!response.ok) {
    throw new Error(content.detail);
  }
  return content;
}

function signIn() {
  const form = document.getElementById("sign-in");
  const problem = document.getElementById("problem");
  form.hidden = false;
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      problem.textContent = "";
      try {
        resolve(await loadWithPassword(new FormData(form)));
        form.remove();
      } catch (error) {
        problem.textContent = error.message;
      }
    });
  });
}

async function loadWithPassword(credentials) {
  const body = new URLSearchParams(credentials);
  const { access_token: token } = await documentOf(await fetch(new URL("token", BASE), { method: "POST", body }));
  const headers = { Authorization: `Bearer ${token}` };
  return documentOf(await fetch(new URL("openapi.json", BASE), { headers }));
}
