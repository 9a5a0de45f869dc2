import { loadDocument } from "./document.js";

window.SwaggerUIBundle({
  spec: await loadDocument(),
  dom_id: "#documentation",
  deepLinking: true,
  layout: "BaseLayout",
  docExpansion: "none",
  presets: [window.SwaggerUIBundle.presets.apis],
});
