// A range of a chart, chosen with a finger: sideways. Up and down is the page's, which scrolls.
const LEAST_PX = 6; // as with the mouse: less is a tap

/** `plot` is uPlot's; what is chosen comes by its hook `setSelect`, as from the mouse. Its CSS leaves `pan-y` to the page. */
export function chooseByTouch(plot) {
  const { over } = plot;
  let from = null;
  const at = (event) => Math.min(over.clientWidth, Math.max(0, event.clientX - over.getBoundingClientRect().left));
  const select = (event, isChosen) => {
    const [left, right] = [from, at(event)].sort((one, other) => one - other);
    plot.setSelect({ left, width: right - left, top: 0, height: over.clientHeight }, isChosen);
  };
  const isDrag = (event) => from !== null && Math.abs(at(event) - from) >= LEAST_PX;
  const drop = () => {
    if (from !== null) plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    from = null;
  };
  over.addEventListener("pointerdown", (event) => {
    drop(); // a second finger is no range
    if (event.pointerType !== "mouse" && event.isPrimary) from = at(event);
  });
  over.addEventListener("pointermove", (event) => {
    if (!isDrag(event)) return;
    select(event, false);
    plot.setCursor({ left: at(event), top: over.clientHeight / 2 }); // the legend tells of it
  });
  over.addEventListener("pointerup", (event) => {
    if (isDrag(event)) select(event, true);
    drop();
  });
  over.addEventListener("pointercancel", drop); // the page scrolls
}
