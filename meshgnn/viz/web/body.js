// What is drawn: the scene, its camera, the programs of the graphics processor, the bodies.
const scene = JSON.parse(document.getElementById("data").textContent);
const canvas = document.querySelector("canvas");
const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const steps = Math.max(scene.times.length, 1);
let step = scene.step;

const camera = { right: scene.right, up: scene.up, zoom: 1, x: 0, y: 0 };
const towards = () => [
  camera.right[1] * camera.up[2] - camera.right[2] * camera.up[1],
  camera.right[2] * camera.up[0] - camera.right[0] * camera.up[2],
  camera.right[0] * camera.up[1] - camera.right[1] * camera.up[0],
];

const HEAD = `#version 300 es
precision highp float;
uniform vec3 right, up, towards, centre;
uniform vec2 scale, pan, size;
uniform float radius, bias;
vec3 seen(vec3 p) { p -= centre; return vec3(dot(p, right), dot(p, up), dot(p, towards)); }
vec4 onto(vec3 v) { return vec4(v.xy * scale + pan, -0.9 * v.z / radius - bias, 1.0); }
`;
const SHADE = `#version 300 es
precision highp float;
uniform sampler2D map;
uniform vec2 limits;
uniform vec4 colour;
uniform float lit, round;
in float worth;
in vec3 where;
out vec4 shade;
void main() {
  if (round > 0.5 && length(gl_PointCoord - 0.5) > 0.5) discard;
  float t = (worth - limits.x) / (limits.y - limits.x);
  shade = colour.a < 0.0 ? texture(map, vec2(clamp(t, 0.002, 0.998), 0.5)) : colour;
  if (lit > 0.5) {
    vec3 normal = normalize(cross(dFdx(where), dFdy(where)));
    shade.rgb *= 0.62 + 0.38 * abs(normal.z);
  }
}`;
const SURFACE = HEAD + `
in vec3 place; in float value; uniform float dot_size;
out float worth; out vec3 where;
void main() { worth = value; where = seen(place); gl_Position = onto(where); gl_PointSize = dot_size; }`;
// A line is a strip of two triangles, as wide on the screen as it is asked to be.
const LINE = HEAD + `
in vec3 start; in vec3 end; in vec2 corner; uniform float width;
out float worth; out vec3 where;
void main() {
  vec4 a = onto(seen(start)), b = onto(seen(end));
  vec2 along = (b.xy - a.xy) * size, across = vec2(-along.y, along.x) / max(length(along), 1e-6);
  gl_Position = mix(a, b, corner.x) + vec4(across * corner.y * width / size, 0.0, 0.0);
  worth = 0.0; where = vec3(0.0);
}`;

function program(vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw Error(gl.getProgramInfoLog(made));
  return made;
}

function buffer(data, old = null, target = gl.ARRAY_BUFFER) {
  const made = old || gl.createBuffer();
  gl.bindBuffer(target, made);
  gl.bufferData(target, data, gl.DYNAMIC_DRAW);
  return made;
}

function feed(made, name, from, count, divisor) {
  const at = gl.getAttribLocation(made, name);
  if (at < 0) return;
  gl.bindBuffer(gl.ARRAY_BUFFER, from);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, count, gl.FLOAT, false, 0, 0);
  gl.vertexAttribDivisor(at, divisor);
}

class Body {
  constructor(data) {
    Object.assign(this, data);
    this.points = new Float32Array(bytes(data.points));
    this.index = new Uint32Array(bytes(data.index));
    this.values = data.values ? new Float32Array(bytes(data.values)) : null;
    this.count = this.points.length / 3 / (data.moving ? steps : 1);
    this.elements = buffer(this.index, null, gl.ELEMENT_ARRAY_BUFFER);
    this.load();
  }
  at(k) { return this.moving ? this.points.subarray(k * this.count * 3, (k + 1) * this.count * 3) : this.points; }
  // The values of this time, or the only ones.
  now() {
    const k = this.values && this.values.length > this.count ? step : 0;
    return this.values && this.values.subarray(k * this.count, (k + 1) * this.count);
  }
  // The buffers of this time step; those that do not change are made once.
  load() {
    const points = this.at(step);
    if (!this.placed || this.moving) {
      if (this.kind === "lines") {
        const ends = [0, 1].map(() => new Float32Array(this.index.length / 2 * 3));
        this.index.forEach((node, k) => ends[k % 2].set(points.subarray(3 * node, 3 * node + 3), 3 * (k >> 1)));
        this.ends = ends.map((end, k) => buffer(end, this.ends && this.ends[k]));
      } else this.places = buffer(points, this.places);
      this.placed = true;
    }
    this.worth = buffer(this.now() || new Float32Array(this.count), this.worth);
  }
  draw(made, panel) {
    const set = (name, ...v) => gl["uniform" + v.length + "f"](gl.getUniformLocation(made, name), ...v);
    set("lit", this.lit ? 1 : 0);
    set("round", this.kind === "points" ? 1 : 0);
    set("limits", ...(panel.limits || [0, 1]));
    set("colour", ...(this.colour || [0, 0, 0, -1]));
    set("bias", this.bias);
    if (this.kind === "lines") {
      set("width", this.width * devicePixelRatio);
      feed(made, "corner", corners, 2, 0);
      feed(made, "start", this.ends[0], 3, 1);
      feed(made, "end", this.ends[1], 3, 1);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.index.length / 2);
      return;
    }
    set("dot_size", this.width * devicePixelRatio);
    feed(made, "place", this.places, 3, 0);
    feed(made, "value", this.worth, 1, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.elements);
    gl.drawElements(this.kind === "points" ? gl.POINTS : gl.TRIANGLES, this.index.length, gl.UNSIGNED_INT, 0);
  }
}
