// SPDX-License-Identifier: Apache-2.0
//
// A list of which only what is on the screen exists, so that it may have any number of rows.

// An element. Text becomes a text node, whatever is in it; nothing here ever parses HTML.
function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {}))
        if (key === "class")
            made.className = value;
        else if (key.startsWith("on"))
            made.addEventListener(key.slice(2), value);
        else if (value !== undefined && value !== false)
            made.setAttribute(key, value);
    made.append(...children.filter(child => child !== null && child !== undefined));
    return made;
}

// Sets the text if it is another one.
function setText(node, text) {
    if (node.textContent !== text)
        node.textContent = text;
}

class VirtualList {
    // make(): a row's element; fill(row, item): what is in it; chosen(item): Enter or a click; key(item): its identity.
    constructor(root, {rowHeight, make, fill, chosen, key, empty}) {
        Object.assign(this, {root, rowHeight, make, fill, chosen, key, empty});
        this.items = [];
        this.rows = [];
        this.activeKey = null;
        this.selectedKey = null;
        this.space = element("div", {class: "space", role: "presentation"});
        this.nothing = element("p", {class: "nothing"});
        root.replaceChildren(this.space, this.nothing);
        root.addEventListener("scroll", () => this.render(), {passive: true});
        root.addEventListener("keydown", event => this.keyDown(event));
        root.addEventListener("focus", () => this.render());
        new ResizeObserver(() => this.render()).observe(root);
    }

    setItems(items) {
        this.items = items;
        this.places = null;
        this.render();
    }

    place(key) {
        if (!this.places)
            this.places = new Map(this.items.map((item, i) => [this.key(item), i]));
        return key === null ? -1 : this.places.get(key) ?? -1;
    }

    get bounds() {
        const first = Math.max(0, Math.floor(this.root.scrollTop / this.rowHeight) - 2);
        return [first, Math.min(this.items.length, first + Math.ceil(this.root.clientHeight / this.rowHeight) + 5)];
    }

    visible() {
        return this.items.slice(...this.bounds);
    }

    render() {
        this.space.style.height = this.items.length * this.rowHeight + "px";
        this.nothing.hidden = this.items.length > 0;
        if (!this.items.length)
            setText(this.nothing, this.empty());
        const [first, end] = this.bounds, active = this.place(this.activeKey);
        while (this.rows.length < end - first) {
            const row = this.make();
            row.setAttribute("role", "option");
            row.classList.add("row");
            row.style.height = this.rowHeight + "px";
            row.addEventListener("click", () => this.choose(row.index));
            this.rows.push(row);
            this.space.append(row);
        }
        this.rows.forEach((row, i) => {
            const index = first + i;
            row.hidden = index >= end;
            if (row.hidden)
                return;
            const item = this.items[index];
            row.index = index;
            row.id = this.root.id + "-" + index;
            row.style.transform = `translateY(${index * this.rowHeight}px)`;
            row.setAttribute("aria-posinset", index + 1);
            row.setAttribute("aria-setsize", this.items.length);
            row.setAttribute("aria-selected", this.key(item) === this.selectedKey);
            row.classList.toggle("active", index === active);
            this.fill(row, item);
        });
        if (active >= first && active < end)
            this.root.setAttribute("aria-activedescendant", this.root.id + "-" + active);
        else
            this.root.removeAttribute("aria-activedescendant");
    }

    activate(index) {
        index = Math.max(0, Math.min(this.items.length - 1, index));
        this.activeKey = this.key(this.items[index]);
        const top = index * this.rowHeight, bottom = top + this.rowHeight;
        if (top < this.root.scrollTop)
            this.root.scrollTop = top;
        else if (bottom > this.root.scrollTop + this.root.clientHeight)
            this.root.scrollTop = bottom - this.root.clientHeight;
        this.render();
    }

    choose(index) {
        this.activate(index);
        if (this.chosen)
            this.chosen(this.items[index]);
    }

    keyDown(event) {
        const at = this.place(this.activeKey), page = Math.max(1, Math.floor(this.root.clientHeight / this.rowHeight) - 1);
        const moves = {ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0,
                       End: this.items.length - 1};
        if (!this.items.length || event.ctrlKey || event.altKey || event.metaKey)
            return;
        if (event.key in moves)
            this.activate(moves[event.key]);
        else if (event.key === "Enter" && at >= 0)
            this.choose(at);
        else
            return;
        event.preventDefault();
    }
}
