// GLM-Image Plan Preview in ComfyUI's page: names the token under the pointer, and lets the user select tokens.
//
// The node's input "selection" is a DOM widget, which both node renderers of the page show. Of a run it gets the drawn
// images and, as one JSON file (glm_core/plans/table.py), where in these the grids are and which tokens they have.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import * as selections from "./selection.js"
import { texts } from "./texts.js"

const NODE = "GLMImagePlanPreview", WIDGET = "GLM_IMAGE_SELECTION", TOKENS = "glm_image_tokens", TARGET = "target"
const LEAST_HEIGHT = 240, UNDRAWN_CELL = 16  // pixels
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
const MIDDLE = 1, MIDDLE_HELD = 4  // of the mouse's buttons

const BODY = `
<svg tabindex="0" role="application">
    <rect class="picture"/><image/>
    <g><path class="shade"/><path class="edge under"/><path class="edge over"/></g>
    <rect class="cursor under"/><rect class="cursor over"/>
</svg>
<footer>
    <output></output>
    <button class="back">‹</button><span></span><button class="next">›</button><button class="clear">✕</button>
</footer>`

const limit = (value, count) => Math.max(0, Math.min(value, count - 1))
const viewUrl = file => `/view?${new URLSearchParams(file)}`

// What is known of a plan that was not drawn yet: the size of the grid in which the selection was made.
function undrawn({ columns, rows }) {
    const size = [columns * UNDRAWN_CELL, rows * UNDRAWN_CELL]
    return { size, grids: [{ name: TARGET, box: [0, 0, ...size], columns, rows }] }
}

function forwardToCanvas(event) {
    event.stopPropagation()
    app.canvas.canvas.dispatchEvent(new event.constructor(event.type, event))
}

class PlanView {
    tokens = null  // content of the JSON file
    images = []  // of the batch; item: which one of them is shown
    item = 0
    cursor = null  // {name, row, column}: the token under the pointer, or where the keys are; name: of its grid
    drawn = null  // the selection that is drawn
    start = null  // {row, column, mode}: where a rectangle begins that has not ended

    // onChange: called with the new text when the user selects something.
    constructor(onChange) {
        this.onChange = onChange
        this.element = document.createElement("div")
        this.element.className = "glm-plan"
        this.element.title = ""  // else the classic renderer shows the input's tooltip beside the pointer
        this.element.innerHTML = BODY
        Object.assign(this.part("svg"), {
            onpointerdown: event => this.onPointer(event),
            onpointermove: event => this.onPointer(event),
            onpointerup: event => this.onPointer(event),
            onpointerleave: () => this.start || this.moveTo(null),
            onpointercancel: () => this.drop(),
            onblur: () => this.drop(),
            onkeydown: event => this.onKey(event),
            onwheel: forwardToCanvas,
        })
        this.part(".clear").onclick = () => this.change("")
        this.part(".back").onclick = () => this.turn(-1)
        this.part(".next").onclick = () => this.turn(1)
        this.setText("")
    }

    part(selector) {
        return this.element.querySelector(selector)
    }

    // output: of the node in a run, undefined if there is none.
    async show(output) {
        const file = this.file = output?.[TOKENS]?.[0]
        const answer = file && await api.fetchApi(viewUrl(file))
        const tokens = answer?.ok ? await answer.json() : null
        if (this.file !== file) return  // a later run was faster
        this.tokens = tokens
        this.images = tokens ? output.images : []
        this.item = limit(this.item, this.images.length || 1)
        this.drop()
    }

    setText(text) {
        this.text = text ?? ""
        this.selection = selections.read(this.text)
        this.drop()
    }

    change(text) {
        this.setText(text)
        this.onChange(text)
    }

    turn(step) {
        this.item = (this.item + step + this.images.length) % this.images.length
        this.render()
    }

    get plan() {
        return this.tokens ?? (this.selection && undrawn(this.selection))
    }

    grid(name) {
        return this.plan?.grids.find(grid => grid.name === name)
    }

    // The token of a grid at the pointer: {name, row, column, isInside}; the nearest one if the pointer is not inside.
    locate(event, { name, box: [left, top, width, height], rows, columns }) {
        const picture = this.part(".picture").getBoundingClientRect(), { size } = this.plan
        const x = (event.clientX - picture.left) / picture.width * size[0]
        const y = (event.clientY - picture.top) / picture.height * size[1]
        const row = Math.floor((y - top) / height * rows), column = Math.floor((x - left) / width * columns)
        const token = { name, row: limit(row, rows), column: limit(column, columns) }
        return { ...token, isInside: token.row === row && token.column === column }
    }

    onPointer(event) {
        if (event.button === MIDDLE || event.buttons & MIDDLE_HELD) return forwardToCanvas(event)
        event.stopPropagation()  // else Nodes 2.0 moves the node
        const grids = this.start ? [this.grid(TARGET)] : this.plan?.grids ?? []
        const token = grids.map(grid => this.locate(event, grid)).find(token => token.isInside || this.start) ?? null
        if (event.type === "pointermove") return this.moveTo(token)
        if (event.type === "pointerup") return this.start && this.end()
        if (event.button || token?.name !== TARGET) return
        event.currentTarget.setPointerCapture(event.pointerId)
        this.begin(token, event)
    }

    onKey(event) {
        if (event.ctrlKey || event.metaKey || !this.grid(TARGET) || !this.useKey(event)) return
        event.preventDefault()
        event.stopPropagation()  // else the page deletes or moves nodes, or pans
    }

    // Whether the key means something here.
    useKey(event) {
        const token = this.cursor?.name === TARGET ? this.cursor : null
        if (event.key in ARROWS && !event.altKey) this.step(token, ARROWS[event.key])
        else if (["Enter", " "].includes(event.key) && token) this.start ? this.end() : this.begin(token, event)
        else if (event.key === "Escape" && this.start) this.drop()
        else if (["Escape", "Delete", "Backspace"].includes(event.key) && this.text) this.change("")
        else return false
        return true
    }

    step(token, [down, right]) {
        const { rows, columns } = this.grid(TARGET), { row, column } = token ?? { row: -down, column: -right }
        this.moveTo({ name: TARGET, row: limit(row + down, rows), column: limit(column + right, columns) })
    }

    moveTo(token) {
        this.cursor = token
        this.render()
    }

    begin({ row, column }, event) {
        this.start = { row, column, mode: event.altKey ? "remove" : event.shiftKey ? "add" : "replace" }
        this.moveTo({ name: TARGET, row, column })
    }

    end() {
        this.change(selections.write(this.selected()))
    }

    // Forget the rectangle that has not ended.
    drop() {
        this.start = null
        this.render()
    }

    // The selection, with the rectangle that has not ended; null if it was made in a grid of another size.
    selected() {
        const target = this.grid(TARGET)
        if (this.start) return selections.select(this.selection, target, this.start, this.cursor)
        return target && selections.fits(this.selection, target) ? this.selection : null
    }

    set(selector, attributes) {
        for (const element of this.element.querySelectorAll(selector))
            for (const [name, value] of Object.entries(attributes))
                if (element.getAttribute(name) !== `${value}`) element.setAttribute(name, value)
    }

    render() {
        const [width, height] = this.plan?.size ?? [UNDRAWN_CELL, UNDRAWN_CELL], image = this.images[this.item]
        this.set("svg", { viewBox: `0 0 ${width} ${height}`, "aria-label": texts().label })
        this.set(".picture, image", { width, height })
        const isEnlarged = this.part(".picture").getBoundingClientRect().width > width
        this.set("image", { href: image ? api.apiURL(viewUrl(image)) : "", class: isEnlarged ? "enlarged" : "" })
        const selected = this.selected(), target = this.grid(TARGET), cursor = this.grid(this.cursor?.name)
        this.renderSelection(selected?.cells.includes(1) ? selected : null, target)
        this.renderCursor(cursor)
        this.renderFooter(cursor ? this.describe(cursor) : this.summary(selected, target))
    }

    renderSelection(selected, target) {
        if (selected !== this.drawn) {
            const { shade, outline } = selected ? selections.draw(selected) : { shade: "", outline: "" }
            this.set(".shade", { d: shade })
            this.set(".edge", { d: outline })
            this.drawn = selected
        }
        if (!target) return
        const { box: [left, top, width, height], columns, rows } = target
        this.set("g", { transform: `translate(${left} ${top}) scale(${width / columns} ${height / rows})` })
    }

    renderCursor(grid) {
        if (!grid) return this.set(".cursor", { width: 0, height: 0 })
        const { box, columns, rows } = grid, width = box[2] / columns, height = box[3] / rows
        const x = box[0] + this.cursor.column * width, y = box[1] + this.cursor.row * height
        this.set(".cursor", { x, y, width, height })
    }

    renderFooter(status) {
        const words = texts(), several = this.images.length > 1
        for (const [name, isThere] of [["back", several], ["next", several], ["clear", this.text]]) {
            this.set(`.${name}`, { type: "button", title: words[name], "aria-label": words[name] })
            this.part(`.${name}`).hidden = !isThere
        }
        this.part("span").textContent = several ? `${this.item + 1}/${this.images.length}` : ""
        this.part("output").textContent = status
    }

    summary(selected, target) {
        const words = texts(), { text, selection } = this
        if (text && !selection) return words.bad
        if (!this.plan) return words.run
        if (!target) return words.otherGrid
        if (text && !selected) return words.otherSize(selection.columns, selection.rows)
        return selected ? words.count(selected.cells.filter(Boolean).length, selected.cells.length) : words.hint
    }

    // Of the token at the cursor.
    describe({ name, columns, ids, percents }) {
        const { row, column } = this.cursor, i = row * columns + column
        return texts().token(name === TARGET, row, column, ids?.[this.item][i], percents?.[this.item][i])
    }
}

function makeWidget(node, name) {
    const view = new PlanView(text => widget.callback?.(text)), onExecuted = node.onExecuted
    const widget = node.addDOMWidget(name, WIDGET, view.element, {
        getValue: () => view.text, setValue: text => view.setText(text), getMinHeight: () => LEAST_HEIGHT,
        hideOnZoom: false, socketless: true,
    })
    widget.show = output => view.show(output)
    node.onExecuted = function (output) {
        onExecuted?.call(this, output)
        view.show(output)
    }
    node.onDrawBackground = null  // the page's own images: in the classic renderer,
    node.hideOutputImages = true  // and in Nodes 2.0; for pages that do not know this see the style sheet
    return { widget }
}

const isPreview = node => node.comfyClass === NODE
const widgetOf = node => node.widgets.find(widget => widget.type === WIDGET)

// The output of the last run, if the page has kept it: after undo, or back in a workflow's tab.
function showKept(node) {
    const id = node.graph.isRootGraph ? `${node.id}` : `${node.graph.id}:${node.id}`
    widgetOf(node).show(app.nodeOutputs[id])
}

// When a node replaces another one of the same number, as undo does, Nodes 2.0 goes on showing the old one's element.
function replaceOldElement(node) {
    const old = node.graph === app.canvas.graph && document.querySelector(`[data-node-id="${node.id}"] .glm-plan`)
    if (old) old.replaceWith(widgetOf(node).element)
}

app.registerExtension({
    name: "GLMImage.PlanPreview",
    getCustomWidgets: () => ({ [WIDGET]: makeWidget }),
    init() {
        const href = new URL("plan_preview.css", import.meta.url)
        document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }))
    },
    loadedGraphNode(node) {
        if (!isPreview(node)) return
        replaceOldElement(node)
        showKept(node)
    },
    onNodeOutputsUpdated() {
        const root = app.rootGraph ?? app.graph
        for (const graph of [root, ...root.subgraphs.values()]) graph.nodes.filter(isPreview).forEach(showKept)
    },
})
