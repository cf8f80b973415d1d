// Looks at every frame of the page and leaves what it saw, as JSON, where it can be read.
addEventListener("load", () => {
  // What a box that scrolls hides may be wider than the page.
  const hidden = (element) => element.closest(".scroll, details:not([open]), .patterns");
  const name = (element) => element.id || element.textContent.trim().slice(0, 40);
  const measure = (frame) => {
    const page = frame.contentDocument;
    const width = page.documentElement.clientWidth;
    const stickingOut = [];
    for (const element of page.body.querySelectorAll("*")) {
      const box = element.getBoundingClientRect();
      if (!hidden(element) && box.width > 0 && (box.right > width + 1 || box.left < -1)) {
        stickingOut.push(name(element));
      }
    }
    const overlapping = [];
    const marks = {};
    for (const figure of page.querySelectorAll("figure")) {
      const picture = figure.querySelector("svg");
      const sizes = (mark) => { const box = mark.getBoundingClientRect(); return box.width + box.height; };
      marks[figure.id] = [...picture.querySelectorAll(".mark")].filter((mark) => sizes(mark) > 0).length;
      const edge = picture.getBoundingClientRect();
      const words = [...picture.querySelectorAll("text")]
        .map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }));
      for (const [index, one] of words.entries()) {
        if (one.box.right > edge.right + 1 || one.box.left < edge.left - 1
            || one.box.bottom > edge.bottom + 1 || one.box.top < edge.top - 1) {
          stickingOut.push(`${figure.id}: ${one.text}`);
        }
        for (const two of words.slice(index + 1)) {
          // Boxes of words have air above and below, which may touch.
          if (one.box.right > two.box.left + 1 && two.box.right > one.box.left + 1
              && one.box.bottom > two.box.top + 3 && two.box.bottom > one.box.top + 3) {
            overlapping.push(`${figure.id}: ${one.text} / ${two.text}`);
          }
        }
      }
    }
    const scroll_width = page.documentElement.scrollWidth;
    return { width, scroll_width, sticking_out: stickingOut, overlapping, marks };
  };
  const frames = [...document.querySelectorAll("iframe")].map(measure);
  document.getElementById("measured").textContent = JSON.stringify(frames);
});
