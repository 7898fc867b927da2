"use strict";
// A panel for each metric: the scores of a video over time, and a cursor that follows the frame.

const [PANEL_WIDTH, PANEL_HEIGHT] = [360, 170];
const ROOM = { left: 44, right: 8, top: 24, bottom: 30 };
const DASHES = ["", "7 3", "2 2", "9 3 2 3"]; // so that lines differ in grey too

class Panel {
  /**
   * @param group the group of the video
   * @param metric one of the group's metrics
   * @param curves of each predictor, of the predicted frames; null where not defined
   * @param onSeek called with the frame that is pressed
   */
  constructor(group, metric, curves, onSeek) {
    Object.assign(this, { group, curves });
    const values = [...curves, ...metric.means].flat().filter((value) => value !== null);
    this.ticks = ticksOf(Math.min(...values), Math.max(...values));
    this.element = newElement("figure", { className: "panel" });
    this.plot = newSvg("svg", { viewBox: `0 0 ${PANEL_WIDTH} ${PANEL_HEIGHT}`, role: "img" });
    this.plot.setAttribute("aria-label", this.summary(metric.label));
    this.drawAxes(metric.label);
    metric.means.forEach((mean, index) => mean && this.drawCurve(mean, index, "mean"));
    curves.forEach((curve, index) => this.drawCurve(curve, index, "own"));
    this.cursor = newSvg("line", { class: "cursor", y1: ROOM.top, y2: PANEL_HEIGHT - ROOM.bottom });
    this.points = curves.map((_, index) => newSvg("circle", { r: 4, fill: this.colour(index) }));
    this.plot.append(this.cursor, ...this.points);
    this.element.append(this.plot, this.newLegend());
    const seek = (event) => onSeek(this.frameAt(event));
    this.plot.addEventListener("pointerdown", seek);
    this.plot.addEventListener("pointermove", (event) => event.buttons && seek(event));
  }

  colour(index) {
    return this.group.predictors[index].colour;
  }

  summary(label) {
    const means = this.curves.map((curve, index) => {
      const defined = curve.filter((value) => value !== null);
      const mean = defined.reduce((sum, value) => sum + value, 0) / defined.length;
      return `${this.group.predictors[index].name} ${shown(defined.length ? mean : null)}`;
    });
    return `${label} over the frames. Means: ${means.join(", ")}`;
  }

  x(time) {
    const width = PANEL_WIDTH - ROOM.left - ROOM.right;
    return ROOM.left + (width * time) / Math.max(this.group.num_frames - 1, 1);
  }

  y(value) {
    const [low, high] = [this.ticks[0], this.ticks.at(-1)];
    const height = PANEL_HEIGHT - ROOM.top - ROOM.bottom;
    return ROOM.top + height * (1 - (value - low) / (high - low));
  }

  frameAt(event) {
    const box = this.plot.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * PANEL_WIDTH;
    const width = PANEL_WIDTH - ROOM.left - ROOM.right;
    const last = this.group.num_frames - 1;
    return Math.min(Math.max(Math.round(((place - ROOM.left) / width) * last), 0), last);
  }

  drawAxes(label) {
    const { num_context, num_frames } = this.group;
    const bottom = PANEL_HEIGHT - ROOM.bottom;
    const write = (text, x, y, anchor) => {
      const element = newSvg("text", { x, y, "text-anchor": anchor });
      element.textContent = text;
      this.plot.append(element);
    };
    const width = this.x(num_context - 0.5) - ROOM.left;
    const size = { x: ROOM.left, y: ROOM.top, width, height: bottom - ROOM.top };
    this.plot.append(newSvg("rect", { class: "context", ...size }));
    for (const tick of this.ticks) {
      const [x1, x2, y] = [ROOM.left, PANEL_WIDTH - ROOM.right, this.y(tick)];
      this.plot.append(newSvg("line", { class: "grid", x1, x2, y1: y, y2: y }));
      write(Number(tick.toPrecision(3)), ROOM.left - 6, y + 4, "end");
    }
    for (const frame of [0, num_context, num_frames - 1]) {
      write(frame + 1, this.x(frame), bottom + 14, "middle");
    }
    write(label, ROOM.left, 14, "start");
    write("Frame", PANEL_WIDTH / 2, PANEL_HEIGHT - 4, "middle");
  }

  drawCurve(curve, index, kind) {
    const { num_context } = this.group;
    let [path, isDrawn] = ["", false];
    curve.forEach((value, at) => {
      if (value !== null) {
        path += `${isDrawn ? "L" : "M"}${this.x(num_context + at)} ${this.y(value)}`;
      }
      isDrawn = value !== null; // what is not defined leaves a gap
    });
    this.plot.append(newSvg("path", { class: kind, d: path, ...this.strokeOf(index) }));
  }

  strokeOf(index) {
    return { stroke: this.colour(index), "stroke-dasharray": DASHES[index % DASHES.length] };
  }

  newLegend() {
    const list = newElement("ul");
    this.values = this.group.predictors.map(({ name }, index) => {
      const [entry, value] = [newElement("li"), newElement("b")];
      const sample = newSvg("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" });
      sample.append(newSvg("path", { d: "M0 4H22", ...this.strokeOf(index) }));
      entry.append(sample, newElement("span", { textContent: name }), value);
      list.append(entry);
      return value;
    });
    return list;
  }

  /** Move the cursor to a frame, and show the values there. */
  move(time) {
    const x = this.x(time);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.curves.forEach((curve, index) => {
      const value = curve[time - this.group.num_context] ?? null;
      this.values[index].textContent = shown(value);
      const point = this.points[index];
      point.setAttribute("visibility", value === null ? "hidden" : "visible");
      point.setAttribute("cx", x);
      point.setAttribute("cy", value === null ? 0 : this.y(value));
    });
  }
}

/** Return round numbers that reach from the lowest value to the highest. */
function ticksOf(low, high) {
  const rough = Math.max((high - low) / 4, Math.abs(high) * 1e-3, 1e-6);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
  const count = Math.max(last - first, 1);
  return Array.from({ length: count + 1 }, (_, index) => (first + index) * step);
}

function shown(value) {
  if (value === null) return "–";
  const isPlain = value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e3);
  return isPlain ? value.toPrecision(3) : String(Number(value.toPrecision(3)));
}

function newSvg(name, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
