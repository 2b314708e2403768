// Charts of curves in SVG: wheel to zoom along x, drag to move, double click to go back, values under
// the pointer, a slider through time.
const scene = JSON.parse(document.getElementById("data").textContent);
const number = v => String(Number(v.toPrecision(3)));
const SPACE = "http://www.w3.org/2000/svg", LEFT = 70, RIGHT = 16, TOP = 10, BOTTOM = 40;
const whole = () => ({ low: scene.low, high: scene.high });
const steps = Math.max(scene.times.length, 1), tip = document.getElementById("tip");
let step = scene.step, range = whole();

const made = (tag, into, values) => {
  const one = into.appendChild(document.createElementNS(SPACE, tag));
  for (const name in values) one.setAttribute(name, values[name]);
  return one;
};
const of = values => values[Math.min(step, values.length - 1)];
const dash = { "-": "", "--": "9 5", "-.": "9 4 2 4", ":": "2 4" };
const border = { "-": "solid", "--": "dashed", "-.": "dashed", ":": "dotted" };

// Round numbers between two; powers of ten on a logarithmic axis.
function ticks(low, high, log) {
  if (log && high - low > 1) return [...Array(Math.floor(high) - Math.ceil(low) + 1).keys()].map(k => Math.ceil(low) + k);
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const each = [1, 2, 5, 10].map(m => m * power).find(m => m >= rough);
  const out = [];
  for (let v = Math.ceil(low / each) * each; v <= high + 1e-9 * each; v += each) out.push(Math.abs(v) < 1e-9 * each ? 0 : v);
  return out;
}

function places(chart) {
  const { width, height } = chart.svg.getBoundingClientRect();
  const x = v => LEFT + (v - range.low) / (range.high - range.low) * (width - LEFT - RIGHT);
  const y = v => height - BOTTOM - (v - chart.low) / (chart.high - chart.low) * (height - TOP - BOTTOM);
  return { width, height, x, y };
}

function draw() {
  for (const chart of scene.charts) {
    const { width, height, x, y } = places(chart), svg = chart.svg;
    svg.replaceChildren();
    const frame = { x: LEFT, y: TOP, width: Math.max(width - LEFT - RIGHT, 1), height: Math.max(height - TOP - BOTTOM, 1) };
    const id = "clip" + scene.charts.indexOf(chart);
    made("rect", made("clipPath", svg, { id }), frame);
    for (const v of ticks(range.low, range.high, false)) {
      made("line", svg, { x1: x(v), x2: x(v), y1: TOP, y2: height - BOTTOM, stroke: "#ddd" });
      made("text", svg, { x: x(v), y: height - BOTTOM + 16, "text-anchor": "middle" }).textContent = number(v);
    }
    for (const v of ticks(chart.low, chart.high, chart.log)) {
      made("line", svg, { x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v), stroke: "#ddd" });
      made("text", svg, { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }).textContent = number(chart.log ? 10 ** v : v);
    }
    made("text", svg, { x: width / 2, y: height - 6, "text-anchor": "middle" }).textContent = scene.label;
    const inside = made("g", svg, { "clip-path": "url(#" + id + ")" });
    chart.names.replaceChildren();
    for (const curve of chart.curves) {
      const values = of(curve.y), along = of(curve.x), band = curve.band && of(curve.band);
      // Where a value is missing the curve is broken.
      const path = rows => rows.map((v, k) => v === null ? "" : (k && rows[k - 1] !== null ? "L" : "M") + x(along[k]) + " " + y(v)).join("");
      if (band) {
        const upper = path(values.map((v, k) => v === null ? null : v + band[k]));
        const back = values.map((v, k) => v === null ? "" : "L" + x(along[k]) + " " + y(v - band[k])).reverse().join("");
        made("path", inside, { d: upper + back + "Z", fill: curve.colour, "fill-opacity": 0.25 });
      }
      made("path", inside, { d: path(values), fill: "none", stroke: curve.colour, "stroke-width": 2, "stroke-dasharray": dash[curve.dash] });
      const name = chart.names.appendChild(document.createElement("span"));
      const swatch = name.appendChild(document.createElement("i"));
      swatch.style.borderTop = "3px " + border[curve.dash] + " " + curve.colour;
      name.append(of(curve.titles));
      const mark = of(curve.marks);
      if (!mark) continue;
      made("circle", inside, { cx: x(mark.x), cy: y(mark.y), r: 7, fill: "none", stroke: "#000", "stroke-width": 2, class: "mark" });
      made("text", inside, { x: x(mark.x) + 12, y: y(mark.y) + 4 }).textContent = mark.text;
    }
  }
}

function listen(chart) {
  const svg = chart.svg;
  svg.onpointermove = event => {
    const { x, y, width } = places(chart), box = svg.getBoundingClientRect();
    if (event.buttons) {
      const by = -event.movementX / (width - LEFT - RIGHT) * (range.high - range.low);
      range = { low: range.low + by, high: range.high + by };
      return draw();
    }
    let best = null;
    for (const curve of chart.curves) of(curve.y).forEach((v, k) => {
      const along = of(curve.x), far = v === null ? Infinity : Math.hypot(x(along[k]) - event.clientX + box.left, y(v) - event.clientY + box.top);
      if (far < 24 && (!best || far < best.far)) best = { far, v, at: along[k] };
    });
    tip.style.display = best ? "block" : "none";
    if (!best) return;
    tip.textContent = number(chart.log ? 10 ** best.v : best.v) + (chart.unit ? " " + chart.unit : "") + " at " + number(best.at);
    [tip.style.left, tip.style.top] = [event.clientX + 14 + "px", event.clientY + 10 + "px"];
  };
  svg.onpointerleave = () => { tip.style.display = "none"; };
  svg.onpointerdown = event => svg.setPointerCapture(event.pointerId);
  svg.addEventListener("wheel", event => {
    event.preventDefault();
    const share = (event.clientX - svg.getBoundingClientRect().left - LEFT) / (places(chart).width - LEFT - RIGHT);
    const at = range.low + share * (range.high - range.low), by = Math.exp(event.deltaY / 500);
    range = { low: at - (at - range.low) * by, high: at + (range.high - at) * by };
    draw();
  }, { passive: false });
  svg.ondblclick = () => { range = whole(); draw(); };
}

function show(k) {
  step = Math.min(Math.max(k, 0), steps - 1);
  slider.value = step;
  label.textContent = steps > 1 ? "t = " + number(scene.times[step]) + " s" : "";
  draw();
}

const [play, slider, label] = document.getElementById("time").children;
for (const chart of scene.charts) {
  const box = document.getElementById("charts").appendChild(document.createElement("div"));
  box.className = "chart";
  chart.names = box.appendChild(document.createElement("div"));
  chart.names.className = "names";
  chart.svg = box.appendChild(document.createElementNS(SPACE, "svg"));
  listen(chart);
}
if (steps > 1) {
  document.getElementById("charts").append(document.getElementById("time"));
  document.getElementById("time").style.display = "flex";
  Object.assign(slider, { type: "range", min: 0, max: steps - 1 });
  slider.oninput = () => show(Number(slider.value));
  let timer = null;
  play.onclick = () => {
    clearInterval(timer);
    timer = timer ? null : setInterval(() => show((step + 1) % steps), 120);
    play.textContent = timer ? "stop" : "play";
  };
}
// A link may name the time: page.html#time=3
const asked = () => show(Number((location.hash.match(/time=(\d+)/) || [0, step])[1]));
addEventListener("hashchange", asked);
addEventListener("resize", draw);
asked();
