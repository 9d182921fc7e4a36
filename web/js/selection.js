// Selections of tokens: {columns, rows, cells}, cells with 1 for what is inside and 0 for the rest, in reading order.

const MOST_TOKENS = 128 * 128

// What glm_core/plans/selection.py reads; null for no selection, and for a text that is none.
export function read(text) {
    const [, columns, rows, runs] = /^(\d+)x(\d+):([\d,]+)$/.exec(text) ?? []
    if (!runs || columns * rows > MOST_TOKENS) return null
    const cells = new Uint8Array(columns * rows)
    let start = 0
    for (const [i, run] of runs.split(",").entries()) cells.fill(i % 2, start, start += Number(run))
    return { columns: Number(columns), rows: Number(rows), cells }
}

export function write({ columns, rows, cells }) {
    const runs = []
    for (let start = 0, inside = 0; start < cells.length; inside = 1 - inside) {
        const found = cells.indexOf(1 - inside, start), end = found < 0 ? cells.length : found
        runs.push(end - start)
        start = end
    }
    if (runs.length % 2) runs.pop()  // what is outside at the end
    return runs.length ? `${columns}x${rows}:${runs}` : ""
}

export function fits(selection, { columns, rows }) {
    return selection?.columns === columns && selection.rows === rows
}

// The selection in a grid after a rectangle from a token to another. mode: "replace", "add" or "remove".
export function select(selection, grid, { row, column, mode }, to) {
    const { columns, rows } = grid, [left, right] = [Math.min(column, to.column), Math.max(column, to.column)]
    const keeps = mode !== "replace" && fits(selection, grid)
    const cells = keeps ? selection.cells.slice() : new Uint8Array(columns * rows)
    for (let i = Math.min(row, to.row); i <= Math.max(row, to.row); i++)
        cells.fill(mode === "remove" ? 0 : 1, i * columns + left, i * columns + right + 1)
    return { columns, rows, cells }
}

// SVG path data in units of cells. shade: what is not selected, to be filled by the even-odd rule; outline: the lines
// between selected cells and others.
export function draw({ columns, rows, cells }) {
    const at = (row, column) => column >= 0 && column < columns && cells[row * columns + column] || 0
    let shade = `M0 0H${columns}V${rows}H0z`, outline = ""
    for (let row = 0; row <= rows; row++)
        for (let column = 0; column <= columns; column++) {
            if (at(row, column)) shade += `M${column} ${row}h1v1h-1z`
            if (at(row, column) !== at(row - 1, column)) outline += `M${column} ${row}h1`
            if (at(row, column) !== at(row, column - 1)) outline += `M${column} ${row}v1`
        }
    return { shade, outline }
}
