import { loadDocument } from "./document.js";

window.Redoc.init(await loadDocument(), {}, document.getElementById("documentation"));
