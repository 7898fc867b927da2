"use strict";
// A card for the truth and for each predictor: its frame, its masks, its single slots.

const DIMMED = 0.3; // of what is not of the slot that is pointed at

class Card {
  /**
   * @param group the group of the video
   * @param name what the card is headed with
   * @param colour of its curves; undefined for the truth, which has none
   * @param onPoint called with the slot under the pointer, -1 for none
   * @param onPress called with the slot that is pressed
   */
  constructor(group, name, colour, onPoint, onPress) {
    this.group = group;
    this.element = newElement("article", { className: colour ? "card" : "card truth" });
    this.element.style.setProperty("--colour", colour ?? "transparent");
    this.note = newElement("span", { textContent: "\u00a0" }); // as high as with a score
    const header = newElement("header");
    header.append(newElement("h3", { textContent: name }), this.note);
    this.frames = this.addView("frames", `Frame: ${name}`, onPoint, onPress);
    this.masks = this.addView("masks", `Masks: ${name}`, onPoint, onPress);
    this.element.prepend(header);
    this.tiles = newElement("div", { className: "tiles slots" });
    const rows = Math.ceil(group.num_slots / 6);
    this.tiles.style.setProperty("--across", Math.ceil(group.num_slots / rows));
    if (colour) this.element.append(this.tiles);
    this.slots = Array.from({ length: colour ? group.num_slots : 0 }, (_, slot) => {
      const tile = newElement("div", { className: "tile" });
      const context = newContext(...group.slot_size);
      describe(context.canvas, `Slot ${slot + 1}: ${name}`);
      tile.append(context.canvas);
      listen(tile, { pointerenter: () => onPoint(slot), pointerleave: () => onPoint(-1) });
      tile.addEventListener("click", () => onPress(slot));
      this.tiles.append(tile);
      return { tile, context };
    });
  }

  addView(kind, label, onPoint, onPress) {
    const context = newContext(...this.group.size);
    const { canvas } = context;
    canvas.classList.add("view", kind);
    describe(canvas, label);
    listen(canvas, {
      pointermove: (event) => onPoint(this.slotAt(event)),
      pointerleave: () => onPoint(-1),
      click: (event) => onPress(this.slotAt(event)),
    });
    this.element.append(canvas);
    return context;
  }

  /** Return the slot under the pointer, -1 where there is none. */
  slotAt(event) {
    const labels = this.source?.labels?.[this.time];
    if (!labels) return -1;
    const [height, width] = this.group.size;
    const column = Math.floor((event.offsetX / event.target.clientWidth) * width);
    const row = Math.floor((event.offsetY / event.target.clientHeight) * height);
    const inside = column >= 0 && column < width && row >= 0 && row < height;
    return inside ? this.source.slotOf(labels[row * width + column]) : -1;
  }

  /** Draw a frame; where a slot is lit, all but that slot is dimmed. */
  draw(source, time, lit) {
    Object.assign(this, { source, time });
    source.frames.draw(this.frames, time);
    const labels = source.labels?.[time];
    this.masks.canvas.hidden = !labels;
    if (labels) this.paint(labels, lit);
    for (const [slot, { tile, context }] of this.slots.entries()) {
      source.slots.draw(context, time * this.group.num_slots + slot);
      tile.classList.toggle("lit", slot === lit);
    }
    this.tiles.classList.toggle("some-lit", lit >= 0);
  }

  /** Dim the frame, and paint the masks over a grey version of it. */
  paint(labels, lit) {
    const { slotOf, colours } = this.source;
    const [height, width] = this.group.size;
    const frame = this.frames.getImageData(0, 0, width, height);
    const { data } = frame;
    const masks = this.masks.createImageData(width, height);
    for (let pixel = 0, at = 0; pixel < labels.length; pixel++, at += 4) {
      // luma of ITU-R BT.601
      const grey = (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) / 255;
      const strength = lit >= 0 && slotOf(labels[pixel]) !== lit ? DIMMED : 1;
      for (let channel = 0; channel < 3; channel++) {
        const colour = colours[labels[pixel]][channel];
        data[at + channel] *= strength;
        masks.data[at + channel] = colour * (0.7 + 0.3 * grey) * strength;
      }
      masks.data[at + 3] = 255;
    }
    if (lit >= 0) this.frames.putImageData(frame, 0, 0);
    this.masks.putImageData(masks, 0, 0);
  }
}

function newElement(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function listen(target, listeners) {
  for (const [type, listener] of Object.entries(listeners)) target.addEventListener(type, listener);
}

function describe(canvas, label) {
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
}
