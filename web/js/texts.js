// Texts of the page's own parts, in English and Chinese.

import { app } from "../../../scripts/app.js"

// A token's id, and its probability if that is known.
function name(word, id, percent) {
    return percent === undefined ? `${word} ${id}` : `${word} ${id} · ${percent || "< 0.01"} %`
}

const TEXTS = {
    en: {
        label: "Plan. Arrow keys move between tokens. Enter starts and ends a rectangle, with Shift to add and with "
            + "Alt to remove. Escape clears.",
        run: "Run to see the plan.",
        hint: "Drag to select. Shift adds, Alt removes.",
        otherGrid: "To select, set grid to target or both.",
        otherSize: (columns, rows) => `The selection is of a plan of ${columns} x ${rows} tokens and is ignored.`,
        bad: "The selection cannot be read.",
        count: (count, all) => `${count} of ${all} tokens selected`,
        token: (inTarget, row, column, id, percent) => `${inTarget ? "" : "preview grid: "}row ${row}, column ${column}`
            + (id === undefined ? "" : ` · ${id < 0 ? "no token" : name("token", id, percent)}`),
        clear: "Clear the selection",
        back: "Previous plan",
        next: "Next plan",
        report: "report",
    },
    zh: {
        label: "规划。方向键移到其他 token。回车键开始和结束矩形，按住 Shift 为添加，按住 Alt 为去除。Esc 键清除。",
        run: "运行后显示规划。",
        hint: "拖动以选择。Shift 添加，Alt 去除。",
        otherGrid: "要选择，请将网格设为“目标”或“两者”。",
        otherSize: (columns, rows) => `选区属于 ${columns} x ${rows} 个 token 的规划，此处不使用。`,
        bad: "无法读取选区。",
        count: (count, all) => `已选 ${count} / ${all} 个 token`,
        token: (inTarget, row, column, id, percent) => `${inTarget ? "" : "预览网格："}第 ${row} 行，第 ${column} 列`
            + (id === undefined ? "" : ` · ${id < 0 ? "无 token" : name("token", id, percent)}`),
        clear: "清除选区",
        back: "上一个规划",
        next: "下一个规划",
        report: "报告",
    },
}

export function texts() {
    return TEXTS[app.extensionManager.setting.get("Comfy.Locale")] ?? TEXTS.en
}
