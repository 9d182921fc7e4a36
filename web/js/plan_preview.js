// GLM-Image Plan Preview in ComfyUI's page: names the token under the pointer, and keeps a selection of tokens.
//
// The widget "selection" is one DOM element, which both node renderers of the page show. Its value is the selection as
// glm_core/plans/selection.py reads it. What a run drew comes as images; what the tokens are, as one JSON file
// (glm_core/plans/table.py).

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"

const NODE = "GLMImagePlanPreview", WIDGET = "GLM_IMAGE_SELECTION", TOKENS = "glm_image_tokens"
const TARGET = "target", NO_TOKEN = -1
const LEAST_HEIGHT = 240, CELL = 16  // pixels; CELL: of a grid of which only the selection is known
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
const REPLACE = "replace", ADD = "add", REMOVE = "remove"

const TEXTS = {
    en: {
        label: "Plan. Arrow keys go from token to token. Enter begins and ends a rectangle, with Shift to add and with "
            + "Alt to take away. Escape clears.",
        run: "Run to see the plan.",
        hint: "Drag to select. Shift adds, Alt takes away.",
        elsewhere: "To select, choose grid = target or both.",
        token: (row, column) => `row ${row}, column ${column}`,
        id: id => id === NO_TOKEN ? "no token" : `token ${id}`,
        preview: "preview grid",
        selected: (count, all) => `${count} of ${all} tokens selected`,
        otherSize: (columns, rows) => `Selected in a plan of ${columns} x ${rows} tokens: not used in this one.`,
        bad: "The selection cannot be read.",
        clear: "Clear the selection", back: "Previous plan", next: "Next plan",
    },
    zh: {
        label: "规划。方向键移动到其他标记。回车键开始和结束一个矩形，按住 Shift 添加，按住 Alt 去除。Esc 键清除。",
        run: "运行后显示规划。",
        hint: "拖动以选择。Shift 添加，Alt 去除。",
        elsewhere: "要选择，请将网格设为 target 或 both。",
        token: (row, column) => `第 ${row} 行，第 ${column} 列`,
        id: id => id === NO_TOKEN ? "无标记" : `标记 ${id}`,
        preview: "预览网格",
        selected: (count, all) => `已选 ${count} / ${all} 个标记`,
        otherSize: (columns, rows) => `选区属于 ${columns} x ${rows} 个标记的规划，在此规划中不使用。`,
        bad: "无法读取选区。",
        clear: "清除选区", back: "上一个规划", next: "下一个规划",
    },
}

const STYLE = `
.glm-plan { display: flex; flex-direction: column; gap: 4px; min-height: ${LEAST_HEIGHT - 20}px;
    font: 11px/16px system-ui, sans-serif; color: var(--input-text, #ddd); }
.glm-plan svg { flex: 1 1 auto; min-height: 0; width: 100%; border-radius: 4px; cursor: crosshair; touch-action: none;
    user-select: none; background: var(--comfy-input-bg, #222); }
.glm-plan svg:focus-visible { outline: 2px solid #7ab8ff; outline-offset: 1px; }
.glm-plan image { image-rendering: pixelated; pointer-events: none; }
.glm-plan path, .glm-plan .cursor { fill: none; pointer-events: none; vector-effect: non-scaling-stroke; }
.glm-plan .ground { fill: transparent; }
.glm-plan .shade { fill: #000; fill-opacity: 0.6; fill-rule: evenodd; }
.glm-plan .under { stroke: #000; stroke-width: 4px; }
.glm-plan .line { stroke: #fff; stroke-width: 2px; }
.glm-plan .cursor { stroke: #fff; stroke-width: 1.5px; paint-order: stroke; outline: 1px solid #000; }
.glm-plan footer { display: flex; gap: 6px; align-items: center; min-height: 18px; }
.glm-plan output { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.glm-plan button { all: unset; padding: 0 5px; border-radius: 3px; cursor: pointer; }
.glm-plan button:hover, .glm-plan button:focus-visible { background: var(--comfy-input-bg, #444); }
.glm-plan [hidden] { display: none; }
.lg-node:has(.glm-plan) .image-preview { display: none; }`

const BODY = `
<svg tabindex="0" role="application">
    <rect class="ground"/><image/>
    <g><path class="shade"/><path class="under"/><path class="line"/></g>
    <rect class="cursor"/>
</svg>
<footer>
    <output></output>
    <button class="back">‹</button><span></span><button class="next">›</button><button class="clear">✕</button>
</footer>`

function texts() {
    return TEXTS[app.extensionManager.setting.get("Comfy.Locale")] ?? TEXTS.en
}

// A selection: {columns, rows, cells}, cells with 1 for what is inside, in reading order. Null for none or a bad text.
function readSelection(text) {
    const [, columns, rows, runs] = /^(\d+)x(\d+):([\d,]+)$/.exec(text) ?? []
    if (!runs || columns * rows > 2 ** 14) return null
    const cells = new Uint8Array(columns * rows)
    runs.split(",").map(Number).reduce((start, run, i) => {
        cells.fill(i % 2, start, start + run)
        return start + run
    }, 0)
    return { columns: Number(columns), rows: Number(rows), cells }
}

function writeSelection({ columns, rows, cells }) {
    const runs = [0]
    for (let i = 0, inside = 0; i < cells.length; i++) {
        if (cells[i] !== inside) runs.push(0)
        inside = cells[i]
        runs[runs.length - 1]++
    }
    const last = cells.at(-1) ? runs.length : runs.length - 1
    return last ? `${columns}x${rows}:${runs.slice(0, last)}` : ""
}

function sameSize(selection, grid) {
    return selection?.columns === grid.columns && selection.rows === grid.rows
}

// The selection after a rectangle with these two corners.
function combine(selection, grid, { row, column, mode }, to) {
    const { columns, rows } = grid
    const keeps = mode !== REPLACE && sameSize(selection, grid)
    const cells = keeps ? selection.cells.slice() : new Uint8Array(columns * rows)
    const [left, right] = [Math.min(column, to.column), Math.max(column, to.column)]
    for (let i = Math.min(row, to.row); i <= Math.max(row, to.row); i++)
        cells.fill(mode === REMOVE ? 0 : 1, i * columns + left, i * columns + right + 1)
    return { columns, rows, cells }
}

// Path data in units of cells: the selected cells, and the lines around them.
function drawInside({ columns, cells }) {
    return Array.from(cells, (inside, i) =>
        inside ? `M${i % columns} ${Math.floor(i / columns)}h1v1h-1z` : "").join("")
}

function drawOutline({ columns, rows, cells }) {
    const at = (row, column) => row >= 0 && row < rows && column >= 0 && column < columns && cells[row * columns + column]
    let path = ""
    for (let row = 0; row <= rows; row++)
        for (let column = 0; column <= columns; column++) {
            const inside = at(row, column)
            if (inside != at(row - 1, column)) path += `M${column} ${row}h1`
            if (inside != at(row, column - 1)) path += `M${column} ${row}v1`
        }
    return path
}

// All that is known of a plan before it has been drawn: the size of the grid in which the selection was made.
function emptyTable({ columns, rows }) {
    const size = [columns * CELL, rows * CELL]
    return { size, grids: [{ name: TARGET, box: [0, 0, ...size], columns, rows }] }
}

function setAttributes(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
}

function setBox(element, [x, y, width, height]) {
    setAttributes(element, { x, y, width, height })
}

function forwardToCanvas(event) {
    event.stopPropagation()
    app.canvas.canvas.dispatchEvent(new event.constructor(event.type, event))
}

class PlanView {
    // onChange: called with the text of the selection when the user changes it.
    constructor(onChange) {
        this.onChange = onChange
        this.text = ""
        this.file = this.tokens = null  // name and content of the JSON file
        this.pictures = []
        this.item = 0  // of the batch
        this.cursor = null  // {grid, row, column}: the token under the pointer, or where the keys are
        this.anchor = null  // {row, column, mode}: where a rectangle begins that has not ended
        this.element = document.createElement("div")
        this.element.className = "glm-plan"
        this.element.title = ""  // or the classic renderer shows the input's tooltip beside the pointer
        this.element.innerHTML = BODY
        this.part = name => this.element.querySelector(name)
        this.listen()
        this.render()
    }

    listen() {
        const svg = this.part("svg")
        svg.addEventListener("pointerdown", event => this.press(event))
        svg.addEventListener("pointermove", event => this.move(event))
        svg.addEventListener("pointerup", event => this.release(event))
        svg.addEventListener("pointercancel", () => this.drop())
        svg.addEventListener("pointerleave", () => this.anchor || this.moveTo(null))
        svg.addEventListener("keydown", event => this.pressKey(event))
        svg.addEventListener("blur", () => this.drop())
        svg.addEventListener("wheel", forwardToCanvas)
        this.part(".clear").addEventListener("click", () => this.change(""))
        this.part(".back").addEventListener("click", () => this.turn(-1))
        this.part(".next").addEventListener("click", () => this.turn(1))
    }

    // output: of the node in a run; null if there is none.
    async show(output) {
        const file = output?.[TOKENS]?.[0] ?? null
        this.file = file?.filename
        const answer = file && await api.fetchApi(`/view?${new URLSearchParams(file)}`)
        const tokens = answer?.ok ? await answer.json() : null
        if (this.file !== file?.filename) return  // a later run was faster
        this.tokens = tokens
        this.pictures = tokens ? output.images : []
        this.item = Math.min(this.item, Math.max(0, this.pictures.length - 1))
        this.drop()
    }

    setText(text) {
        this.text = text ?? ""
        this.drop()
    }

    change(text) {
        this.setText(text)
        this.onChange(text)
    }

    turn(step) {
        this.item = (this.item + step + this.pictures.length) % this.pictures.length
        this.render()
    }

    get selection() {
        return readSelection(this.text)
    }

    get table() {
        return this.tokens ?? (this.selection && emptyTable(this.selection))
    }

    get target() {
        return this.table?.grids.find(grid => grid.name === TARGET)
    }

    // The token at the pointer: {grid, row, column}, or null. inGrid: the nearest one of this grid.
    locate(event, inGrid) {
        const ground = this.part(".ground").getBoundingClientRect(), [width, height] = this.table?.size ?? [0, 0]
        const x = (event.clientX - ground.left) / ground.width * width
        const y = (event.clientY - ground.top) / ground.height * height
        for (const grid of inGrid ? [inGrid] : this.table?.grids ?? []) {
            const row = Math.floor((y - grid.box[1]) / grid.box[3] * grid.rows)
            const column = Math.floor((x - grid.box[0]) / grid.box[2] * grid.columns)
            const place = this.clamp({ grid, row, column })
            if (inGrid || place.row === row && place.column === column) return place
        }
        return null
    }

    clamp({ grid, row, column }) {
        const limit = (value, count) => Math.max(0, Math.min(value, count - 1))
        return { grid, row: limit(row, grid.rows), column: limit(column, grid.columns) }
    }

    press(event) {
        if (event.button) return event.button === 1 && forwardToCanvas(event)
        event.stopPropagation()
        const place = this.locate(event)
        if (place?.grid !== this.target) return
        event.target.setPointerCapture(event.pointerId)
        this.begin(place, event)
    }

    move(event) {
        if (event.buttons & 4) return forwardToCanvas(event)
        event.stopPropagation()
        this.moveTo(this.locate(event, event.buttons & 1 && this.anchor && this.target))
    }

    release(event) {
        if (event.button) return event.button === 1 && forwardToCanvas(event)
        event.stopPropagation()
        if (this.anchor) this.end()
    }

    pressKey(event) {
        if (event.ctrlKey || event.metaKey || !this.target || !this.useKey(event)) return
        event.preventDefault()
        event.stopPropagation()  // or the page deletes nodes, moves them, or pans
    }

    // Whether the key means something here.
    useKey(event) {
        const place = this.cursor?.grid === this.target ? this.cursor : null
        if (event.key in ARROWS && !event.altKey) {
            const [down, right] = place ? ARROWS[event.key] : [0, 0]
            const { row, column } = place ?? { row: 0, column: 0 }
            this.moveTo(this.clamp({ grid: this.target, row: row + down, column: column + right }))
        } else if (["Enter", " "].includes(event.key) && place) {
            this.anchor ? this.end() : this.begin(place, event)
        } else if (event.key === "Escape" && this.anchor) {
            this.drop()
        } else if (["Escape", "Delete", "Backspace"].includes(event.key) && this.text) {
            this.change("")
        } else {
            return false
        }
        return true
    }

    begin(place, event) {
        this.anchor = { ...place, mode: event.altKey ? REMOVE : event.shiftKey ? ADD : REPLACE }
        this.moveTo(place)
    }

    moveTo(place) {
        this.cursor = place
        this.render()
    }

    end() {
        this.change(writeSelection(this.shown()))
    }

    // Forget the rectangle that has not ended.
    drop() {
        this.anchor = null
        const grid = this.table?.grids.find(grid => grid.name === this.cursor?.grid.name)
        this.moveTo(grid && this.cursor ? this.clamp({ ...this.cursor, grid }) : null)
    }

    // The selection with the rectangle that has not ended; null if it is of another grid than the one shown.
    shown() {
        const { target, selection } = this
        if (this.anchor) return combine(selection, target, this.anchor, this.cursor)
        return target && sameSize(selection, target) ? selection : null
    }

    render() {
        const { table, target, item } = this, shown = this.shown(), [width, height] = table?.size ?? [CELL, CELL]
        const picture = this.pictures[item]
        setAttributes(this.part("svg"), { viewBox: `0 0 ${width} ${height}`, "aria-label": texts().label })
        for (const name of [".ground", "image"]) setBox(this.part(name), [0, 0, width, height])
        setAttributes(this.part("image"),
            { href: picture ? api.apiURL(`/view?${new URLSearchParams(picture)}`) : "" })
        if (target) {
            const [left, top, across, down] = target.box
            const transform = `translate(${left} ${top}) scale(${across / target.columns} ${down / target.rows})`
            setAttributes(this.part("g"), { transform })
        }
        this.drawSelection(shown?.cells.includes(1) ? shown : null)
        this.drawCursor()
        this.renderFooter(shown)
    }

    drawSelection(shown) {
        const outline = shown ? drawOutline(shown) : ""
        const shade = shown ? `M0 0H${shown.columns}V${shown.rows}H0z${drawInside(shown)}` : ""
        for (const [name, d] of [[".shade", shade], [".under", outline], [".line", outline]])
            setAttributes(this.part(name), { d })
    }

    drawCursor() {
        const { grid, row, column } = this.cursor ?? {}
        this.part(".cursor").style.display = grid ? "" : "none"
        if (!grid) return
        const width = grid.box[2] / grid.columns, height = grid.box[3] / grid.rows
        setBox(this.part(".cursor"), [grid.box[0] + column * width, grid.box[1] + row * height, width, height])
    }

    renderFooter(shown) {
        const { back, next, clear } = texts(), several = this.pictures.length > 1
        this.part("output").textContent = this.status(shown)
        this.part("span").textContent = `${this.item + 1}/${this.pictures.length}`
        for (const [name, title, isThere] of [["back", back, several], ["next", next, several],
            ["clear", clear, this.text]]) {
            const button = this.part(`.${name}`)
            button.hidden = !isThere
            setAttributes(button, { title, "aria-label": title, type: "button" })
        }
        this.part("span").hidden = !several
    }

    status(shown) {
        const { selection, target, text } = this, words = texts()
        if (this.cursor) return this.describe(this.cursor)
        if (text && !selection) return words.bad
        if (!this.table) return words.run
        if (!target) return words.elsewhere
        if (text && !shown) return words.otherSize(selection.columns, selection.rows)
        return text ? words.selected(shown.cells.filter(Boolean).length, shown.cells.length) : words.hint
    }

    describe({ grid, row, column }) {
        const words = texts(), i = row * grid.columns + column
        const id = grid.ids?.[this.item][i], percent = grid.percents?.[this.item][i]
        const parts = grid.name === TARGET ? [] : [words.preview]
        parts.push(words.token(row, column))
        if (id !== undefined) parts.push(words.id(id))
        if (percent !== undefined && id !== NO_TOKEN) parts.push(percent ? `${percent} %` : "< 0.01 %")
        return parts.join(" · ")
    }
}

function makeWidget(node, name) {
    const view = new PlanView(text => widget.callback?.(text))
    const widget = node.addDOMWidget(name, WIDGET, view.element, {
        getValue: () => view.text, setValue: text => view.setText(text), getMinHeight: () => LEAST_HEIGHT,
        hideOnZoom: false, socketless: true,
    })
    const onExecuted = node.onExecuted
    node.onExecuted = function (output) {
        onExecuted?.call(this, output)
        view.show(output)
    }
    widget.showOutput = output => view.show(output)
    node.hideOutputImages = true  // and onDrawBackground below, and the last line of STYLE: the widget shows them
    node.onDrawBackground = null
    return { widget }
}

// A run's output, if the page still has it: after undo, or when the user comes back to the tab of a workflow.
function showKeptOutput(node) {
    const key = node.graph.isRootGraph ? `${node.id}` : `${node.graph.id}:${node.id}`
    node.widgets.find(widget => widget.type === WIDGET)?.showOutput(app.nodeOutputs[key])
}

app.registerExtension({
    name: "GLMImage.PlanPreview",
    init() {
        document.head.append(Object.assign(document.createElement("style"), { textContent: STYLE }))
    },
    getCustomWidgets: () => ({ [WIDGET]: makeWidget }),
    loadedGraphNode(node) {
        if (node.comfyClass === NODE) showKeptOutput(node)
    },
    onNodeOutputsUpdated() {
        const root = app.rootGraph ?? app.graph
        const graphs = root ? [root, ...(root.subgraphs?.values() ?? [])] : []
        for (const graph of graphs) graph.nodes.filter(node => node.comfyClass === NODE).forEach(showKeptOutput)
    },
})
