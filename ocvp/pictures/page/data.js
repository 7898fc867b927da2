"use strict";
// What the page shows: the study, and of each video what is read once it is picked.

const find = (id) => document.getElementById(id);
const study = readJson("study");

function readJson(id) {
  return JSON.parse(find(id).textContent);
}

/** A picture that holds many tiles, in rows from the upper left. */
class Sheet {
  constructor(image, [height, width], columns) {
    Object.assign(this, { image, height, width, columns });
  }

  static async load(uri, size, columns) {
    const image = new Image();
    image.src = uri;
    await image.decode();
    return new Sheet(image, size, columns);
  }

  /** Draw a tile on a canvas of its size. */
  draw(context, tile) {
    const { image, height, width, columns } = this;
    const [left, top] = [(tile % columns) * width, Math.floor(tile / columns) * height];
    context.clearRect(0, 0, width, height);
    context.drawImage(image, left, top, width, height, 0, 0, width, height);
  }

  /** Return the labels of all tiles, which are their grey: an array for each. */
  labels(numTiles) {
    const context = newContext(this.height, this.width);
    return Array.from({ length: numTiles }, (_, tile) => {
      this.draw(context, tile);
      const { data } = context.getImageData(0, 0, this.width, this.height);
      return Uint8Array.from({ length: data.length / 4 }, (_, pixel) => data[4 * pixel]);
    });
  }
}

function newContext(height, width) {
  const canvas = document.createElement("canvas");
  [canvas.height, canvas.width] = [height, width];
  return canvas.getContext("2d", { willReadFrequently: true });
}

const loaded = new Map(); // by number of the video
const KEPT = 4;

/** Return what is known of a video, its sheets decoded. The last few are kept. */
function loadVideo(number) {
  if (!loaded.has(number)) {
    loaded.set(number, decodeVideo(number));
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(number);
}

async function decodeVideo(number) {
  const video = readJson(`video-${number}`);
  const group = study.groups[study.videos[number].group];
  const source = async ({ frames, masks, slots }, slotOf, colours) => ({
    frames: await Sheet.load(frames, group.size, group.columns),
    labels: masks && (await Sheet.load(masks, group.size, group.columns)).labels(group.num_frames),
    slots: slots && (await Sheet.load(slots, group.slot_size, group.slot_columns)),
    slotOf,
    colours,
  });
  const ownSlot = (label) => label;
  const slotOfLabel = (label) => video.slots_of_labels[label];
  const sources = await Promise.all([
    source(video.truth, slotOfLabel, video.label_colours),
    ...video.rollouts.map((rollout) => source(rollout, ownSlot, video.slot_colours)),
  ]);
  return { ...video, sources };
}
