// Draws the panels of one picture with WebGL 2, all in one canvas, seen by one camera. Where there
// is no WebGL the still image above stays.
const number = v => String(Number(v.toPrecision(3)));
const element = (tag, into, name) => {
  const made = into.appendChild(document.createElement(tag));
  if (name) made.className = name;
  return made;
};
let panels = [], surface, line, corners, slider, label;

function build() {
  surface = program(SURFACE, SHADE);
  line = program(LINE, SHADE);
  corners = buffer(new Float32Array([0, -1, 0, 1, 1, -1, 1, 1]));
  for (const row of scene.rows) {
    const across = element("div", document.getElementById("rows"), "row");
    for (const panel of row) {
      const box = element("div", across, "panel");
      panel.title = element("div", box, "title");
      panel.view = element("div", box, "view");
      // What changes its shape with time has bodies of its own at every time.
      panel.frames = panel.frames.map(bodies => bodies.map(body => new Body(body)));
      if (panel.limits) {
        panel.map = texture(new Uint8Array(bytes(scene.maps[panel.colours])));
        if (!scene.label) scale(box, panel);
      }
      if (panel.legend) {
        const legend = element("div", panel.view, "legend");
        for (const [name, colour] of panel.legend) {
          const entry = element("div", legend);
          element("i", entry).style.background = colour;
          entry.append(name);
        }
      }
      panel.mark = element("div", panel.view, "mark");
      listen(panel);
      panels.push(panel);
    }
  }
  if (scene.label) {
    const box = element("div", document.getElementById("rows"), "shared");
    element("div", box, "title").textContent = scene.label;
    scale(box, panels[0]);
  }
  if (steps > 1) timeline();
  addEventListener("resize", draw);
  addEventListener("scroll", draw);
}

// The colours of a panel with five numbers.
function scale(box, panel) {
  const table = new Uint8Array(bytes(scene.maps[panel.colours])), [low, high] = panel.limits;
  const stops = [...Array(17).keys()].map(k => "rgb(" + table.slice(Math.min(k * 16, 255) * 3, Math.min(k * 16, 255) * 3 + 3) + ")");
  element("div", box, "bar").style.background = "linear-gradient(to right," + stops + ")";
  const ticks = element("div", box, "ticks");
  for (let k = 0; k < 5; k++) element("span", ticks).textContent = number(low + (high - low) * k / 4);
}

const shown = panel => panel.frames[Math.min(step, panel.frames.length - 1)];

function texture(table) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, table.length / 3, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, table);
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
  for (const way of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, way, gl.LINEAR);
  return made;
}

function timeline() {
  const box = element("div", document.getElementById("rows"));
  box.id = "time";
  box.style.display = "flex";
  const play = element("button", box);
  slider = element("input", box);
  label = element("span", box);
  Object.assign(slider, { type: "range", min: 0, max: steps - 1, value: step });
  slider.setAttribute("aria-label", "time");
  slider.oninput = () => show(Number(slider.value));
  let timer = null;
  play.textContent = "play";
  play.onclick = () => {
    clearInterval(timer);
    timer = timer ? null : setInterval(() => show((step + 1) % steps), 120);
    play.textContent = timer ? "stop" : "play";
  };
  // A link may name the time: page.html#time=3
  const asked = () => show(Number((location.hash.match(/time=(\d+)/) || [0, step])[1]));
  addEventListener("hashchange", asked);
  asked();
}

function show(k) {
  step = Math.min(Math.max(k, 0), steps - 1);
  if (slider) {
    slider.value = step;
    label.textContent = "t = " + number(scene.times[step]) + " s";
  }
  for (const panel of panels) for (const body of shown(panel)) if (body.values || body.moving) body.load();
  draw();
}

// Pixels of the screen a unit of length takes in a panel that shows everything, and its middle.
function fit(box) {
  const [width, height] = [scene.high[0] - scene.low[0], scene.high[1] - scene.low[1]];
  return 0.9 * Math.min(box.width / Math.max(width, 1e-12), box.height / Math.max(height, 1e-12)) * camera.zoom;
}
function project(place, box, centre) {
  const p = [0, 1, 2].map(k => place[k] - centre[k]), s = fit(box);
  return [box.width / 2 + dot(p, camera.right) * s + camera.x, box.height / 2 - dot(p, camera.up) * s - camera.y, dot(p, towards())];
}

function draw() {
  const ratio = devicePixelRatio;
  // Before anything is measured: an empty title has no height.
  for (const panel of panels) panel.title.textContent = panel.titles[step];
  [canvas.width, canvas.height] = [innerWidth * ratio, innerHeight * ratio];
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.enable(gl.BLEND);
  gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE);
  gl.enable(gl.SCISSOR_TEST);
  for (const panel of panels) {
    const box = panel.view.getBoundingClientRect(), s = fit(box);
    const place = [box.left, innerHeight - box.bottom, box.width, box.height].map(v => Math.round(v * ratio));
    gl.viewport(...place);
    gl.scissor(...place);
    gl.clearColor(1, 1, 1, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (panel.map) gl.bindTexture(gl.TEXTURE_2D, panel.map);
    for (const body of shown(panel)) {
      const made = body.kind === "lines" ? line : surface;
      gl.useProgram(made);
      const set = (name, v) => gl["uniform" + v.length + "f"](gl.getUniformLocation(made, name), ...v);
      set("right", camera.right); set("up", camera.up); set("towards", towards());
      set("centre", panel.centre); set("radius", [scene.radius]);
      set("scale", [2 * s / box.width, 2 * s / box.height]);
      set("pan", [2 * camera.x / box.width, 2 * camera.y / box.height]);
      set("size", [place[2], place[3]]);
      gl.bindVertexArray(body.array = body.array || gl.createVertexArray());
      body.draw(made, panel);
    }
    const mark = panel.marks[step];
    panel.mark.style.display = mark ? "block" : "none";
    if (mark) {
      const [x, y] = project(mark.at, box, panel.centre);
      [panel.mark.style.left, panel.mark.style.top] = [x + "px", y + "px"];
      if (panel.marked !== mark.text) {
        panel.mark.innerHTML = "<b></b><span></span>";
        panel.mark.lastChild.textContent = panel.marked = mark.text;
      }
    }
  }
}

function turned(axis, angle, v) {
  const c = Math.cos(angle), s = Math.sin(angle), k = dot(axis, v) * (1 - c);
  const x = [axis[1] * v[2] - axis[2] * v[1], axis[2] * v[0] - axis[0] * v[2], axis[0] * v[1] - axis[1] * v[0]];
  return v.map((one, i) => one * c + x[i] * s + axis[i] * k);
}

function listen(panel) {
  const view = panel.view, tip = document.getElementById("tip");
  view.onpointerdown = event => { view.setPointerCapture(event.pointerId); view.style.cursor = "grabbing"; };
  view.onpointerup = () => { view.style.cursor = "grab"; };
  view.oncontextmenu = event => event.preventDefault();
  view.onpointermove = event => {
    if (!event.buttons) return read(panel, event, tip);
    tip.style.display = "none";
    if (scene.flat || event.shiftKey || event.buttons > 1) {
      camera.x += event.movementX;
      camera.y -= event.movementY;
    } else {
      const { right, up } = camera;
      camera.right = turned(up, -event.movementX / 150, right);
      camera.up = turned(camera.right, -event.movementY / 150, up);
    }
    draw();
  };
  view.onpointerleave = () => { tip.style.display = "none"; };
  view.addEventListener("wheel", event => {
    event.preventDefault();
    const box = view.getBoundingClientRect(), by = Math.exp(-event.deltaY / 500);
    const x = event.clientX - box.left - box.width / 2, y = box.top + box.height / 2 - event.clientY;
    camera.x = x - (x - camera.x) * by;
    camera.y = y - (y - camera.y) * by;
    camera.zoom *= by;
    draw();
  }, { passive: false });
  view.ondblclick = () => {
    Object.assign(camera, { right: scene.right, up: scene.up, zoom: 1, x: 0, y: 0 });
    draw();
  };
}

// The value at the point under the pointer: of those within 24 pixels the one nearest to the eye.
function read(panel, event, tip) {
  const box = panel.view.getBoundingClientRect();
  const at = [event.clientX - box.left, event.clientY - box.top];
  let best = null;
  for (const body of shown(panel)) {
    const values = body.now();
    if (!values) continue;
    const points = body.at(step);
    for (let k = 0; k < body.count; k++) {
      const [x, y, z] = project(points.subarray(3 * k, 3 * k + 3), box, panel.centre);
      const far = Math.hypot(x - at[0], y - at[1]);
      if (far > 24) continue;
      const rank = scene.flat ? far : -z + far * scene.radius / 200;
      if (!best || rank < best.rank) best = { rank, value: values[k], point: [...points.subarray(3 * k, 3 * k + 3)] };
    }
  }
  tip.style.display = best ? "block" : "none";
  if (!best) return;
  const place = best.point.slice(0, scene.dimension).map(number).join(", ");
  tip.textContent = number(best.value) + (panel.unit ? " " + panel.unit : "") + " at (" + place + ")";
  [tip.style.left, tip.style.top] = [event.clientX + 14 + "px", event.clientY + 10 + "px"];
}

if (gl) {
  build();
  document.getElementById("still").style.display = "none";
  show(step);
} else canvas.style.display = "none";
