import { loadDocument } from "./document.js";

window.SwaggerUIBundle({
  spec: await loadDocument(),
  dom_id: "#documentation",
  deepLinking: true,
  layout: "BaseLayout",
  presets: [window.SwaggerUIBundle.presets.apis],
});
