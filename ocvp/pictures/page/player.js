"use strict";
// The frame that is shown: played, scrubbed, or stepped through.

class Player {
  /** @param onTime called with the frame whenever another one is to be shown */
  constructor(onTime) {
    this.onTime = onTime;
    [this.time, this.group, this.timer] = [0, null, null];
    this.parts = { root: find("player"), play: find("play"), slider: find("time") };
    Object.assign(this.parts, { frame: find("frame"), spans: find("spans"), speed: find("speed") });
    this.parts.play.addEventListener("click", () => this.toggle());
    find("back").addEventListener("click", () => this.step(-1));
    find("on").addEventListener("click", () => this.step(1));
    this.parts.slider.addEventListener("input", () => this.seek(Number(this.parts.slider.value)));
    this.parts.speed.addEventListener("change", () => this.isPlaying && this.play());
  }

  get isPlaying() {
    return this.timer !== null;
  }

  /** Show videos of a group from now on. */
  use(group) {
    this.group = group;
    this.parts.slider.max = group.num_frames - 1;
    const lengths = [group.num_context, group.num_frames - group.num_context];
    const names = ["Context", "Predicted"];
    this.parts.spans.replaceChildren(
      ...lengths.map((length, index) => {
        const span = newElement("span", { textContent: names[index] });
        span.style.flex = `${length} 1 0`;
        return span;
      }),
    );
    this.show(Math.min(this.time, group.num_frames - 1));
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  play() {
    clearInterval(this.timer);
    const pause = 1000 / (this.group.fps * Number(this.parts.speed.value)); // milliseconds
    this.timer = setInterval(() => this.show((this.time + 1) % this.group.num_frames), pause);
    this.showState("Pause", "M3 2h4v12H3zM9 2h4v12H9z");
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.showState("Play", "M4 2v12l10-6z");
  }

  /** Say what the button does, and draw it. */
  showState(label, path) {
    this.parts.play.setAttribute("aria-label", label);
    this.parts.play.querySelector("path").setAttribute("d", path);
  }

  step(frames) {
    this.seek(this.time + frames);
  }

  /** Stop at a frame. */
  seek(time) {
    this.pause();
    this.show(Math.min(Math.max(time, 0), this.group.num_frames - 1));
  }

  show(time) {
    this.time = time;
    const { num_context, num_frames } = this.group;
    const isPredicted = time >= num_context;
    const state = isPredicted ? `predicted, +${time + 1 - num_context}` : "context";
    const text = `Frame ${time + 1} of ${num_frames}: ${state}`;
    this.parts.slider.value = time;
    this.parts.slider.setAttribute("aria-valuetext", text);
    this.parts.frame.textContent = text;
    document.body.classList.toggle("is-predicted", isPredicted);
    this.onTime(time);
  }
}
