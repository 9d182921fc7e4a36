// What ComfyUI's page leaves in English on nodes in other languages: the options of lists and switches, the hint in
// empty text boxes, and the tooltip of the seed's control. Those of our nodes stand in locales/LANGUAGE/nodeDefs.json
// too: an input has "options", value → label. Workflows go on holding the values.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"

const OURS = /GLMImage/, CONTROL = "control_after_generate"
let translations = {}  // of all packs, by language

function translate(widget, { tooltip, options: labels }) {
    if (widget.element instanceof HTMLTextAreaElement) widget.element.placeholder = widget.label
    if (widget.name === CONTROL) widget.tooltip = tooltip
    if (!labels) return
    if (widget.type === "toggle") Object.assign(widget.options, { on: labels.true, off: labels.false })
    else widget.options.getOptionLabel = value => labels[value] ?? value ?? ""
}

app.registerExtension({
    name: "GLMImage.Translations",
    async init() {
        translations = await (await api.fetchApi("/i18n")).json()
    },
    nodeCreated(node) {
        const definitions = translations[app.extensionManager.setting.get("Comfy.Locale")]?.nodeDefs
        if (!OURS.test(node.comfyClass) || !definitions) return
        for (const widget of node.widgets ?? []) {
            const input = definitions[node.comfyClass]?.inputs?.[widget.name]
            if (input) translate(widget, input)
        }
    },
})
