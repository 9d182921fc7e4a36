import { app } from "../../scripts/app.js"
import { texts } from "./js/texts.js"

const STYLE = {
    whiteSpace: "pre-wrap", overflowWrap: "anywhere", overflowY: "auto", padding: "4px", fontSize: "12px",
    color: "var(--input-text)", background: "var(--comfy-input-bg)", userSelect: "text",
}
const LEAST_HEIGHT = 140

// Shows the report on GLM-Image Prompt Check. ComfyUI sends it with every run, also if the node's result was cached.
app.registerExtension({
    name: "GLMImage.PromptCheck",
    nodeCreated(node) {
        if (node.comfyClass !== "GLMImagePromptCheck") return
        const element = Object.assign(document.createElement("div"), { lang: "en" })
        Object.assign(element.style, STYLE)
        const widget = node.addDOMWidget("report", "GLM_IMAGE_REPORT", element, {
            serialize: false, hideOnZoom: false, getMinHeight: () => LEAST_HEIGHT,
        })
        widget.label = texts().report
        widget.serialize = false // saved workflows hold the values of the node's own widgets by position
        const onExecuted = node.onExecuted
        node.onExecuted = function (output) {
            onExecuted?.call(this, output)
            element.textContent = output.text?.[0] ?? ""
        }
    },
})
