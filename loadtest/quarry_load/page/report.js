"use strict";
(() => {
  const runs = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page");
  const several = runs.length > 1;
  const color = (i) => `var(--s${i % 8})`;

  // ---- Numbers ----
  const significant = (x) => (x >= 99.95 ? x.toFixed(0) : x >= 9.995 ? x.toFixed(1) : x.toFixed(2));
  const count = (x) => Math.round(x).toLocaleString("en-US");
  const rate = (x) => (x >= 1000 ? count(x) : x >= 99.95 ? x.toFixed(0) : x.toFixed(1));
  const short = (x) =>
    x >= 1e6 ? trim(x / 1e6) + " M" : x >= 1e4 ? trim(x / 1e3) + " k" : x >= 1 || x === 0 ? count(x) : trim(x);
  const trim = (x) => String(+x.toPrecision(3));
  const time = (us) =>
    us < 999.5 ? significant(us) + " µs" : us < 999500 ? significant(us / 1e3) + " ms" : significant(us / 1e6) + " s";
  const timeTick = (us) => (us < 1e3 ? trim(us) + " µs" : us < 1e6 ? trim(us / 1e3) + " ms" : trim(us / 1e6) + " s");
  const bytes = (b) => {
    const unit = b < 1024 ? 0 : b < 1024 ** 2 ? 1 : b < 1024 ** 3 ? 2 : 3;
    return significant(b / 1024 ** unit) + " " + ["B", "KiB", "MiB", "GiB"][unit];
  };
  const bytesTick = (b) => {
    const unit = b < 1024 ? 0 : b < 1024 ** 2 ? 1 : b < 1024 ** 3 ? 2 : 3;
    return trim(b / 1024 ** unit) + " " + ["B", "KiB", "MiB", "GiB"][unit];
  };

  // ---- Elements; all text goes in as text ----
  const make = (parent, tag, text, cls) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (cls) node.className = cls;
    parent.append(node);
    return node;
  };
  const draw = (parent, tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };

  // ---- Scales ----
  const niceStep = (span, ticks, base) => {
    const rough = span / ticks;
    const power = base ** Math.floor(Math.log(rough) / Math.log(base));
    const steps = base === 2 ? [1, 2] : [1, 2, 2.5, 5, 10];
    return steps.map((s) => s * power).find((s) => s >= rough - 1e-12);
  };
  const linear = (largest, ticks, base = 10) => {
    const step = niceStep(largest || 1, ticks, base);
    const top = step * Math.max(1, Math.ceil((largest || 1) / step - 1e-9));
    const marks = [];
    for (let at = 0; at <= top + step / 2; at += step) marks.push(at);
    return { marks, at: (x) => x / top };
  };
  const logarithmic = (least, largest) => {
    const low = 10 ** Math.floor(Math.log10(least));
    let high = 10 ** Math.ceil(Math.log10(largest));
    if (high <= low) high = low * 10;
    const decades = Math.round(Math.log10(high / low));
    const within = decades <= 2 ? [1, 2, 5] : [1];
    const marks = [];
    for (let decade = low; decade < high * 1.01; decade *= 10) {
      for (const part of within) if (decade * part <= high * 1.01) marks.push(decade * part);
    }
    return { marks, at: (x) => Math.log(Math.max(x, low) / low) / Math.log(high / low) };
  };
  // Percentiles: each step to the right leaves a tenth of the calls.
  const tail = {
    marks: [0, 50, 90, 99, 99.9, 99.99],
    at: (p) => Math.min(1, -Math.log10(Math.max(1 - p / 100, 1e-4)) / 4),
  };

  // ---- Plots ----
  const WIDTH = 560, HEIGHT = 250, LEFT = 64, RIGHT = 14, TOP = 10, BOTTOM = 40;

  function axes(svg, width, plot) {
    const right = width - RIGHT, bottom = HEIGHT - BOTTOM;
    const x = (v) => LEFT + plot.x.at(v) * (right - LEFT);
    const y = (v) => bottom - plot.y.at(v) * (bottom - TOP);
    for (const mark of plot.y.marks) {
      draw(svg, "line", { x1: LEFT, x2: right, y1: y(mark), y2: y(mark), class: "grid" });
      draw(svg, "text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, plot.yLabel(mark));
    }
    for (const mark of plot.x.marks) {
      draw(svg, "line", { x1: x(mark), x2: x(mark), y1: bottom, y2: bottom + 4, class: "axis" });
      draw(svg, "text", { x: x(mark), y: bottom + 18, "text-anchor": "middle" }, plot.xLabel(mark));
    }
    draw(svg, "line", { x1: LEFT, x2: right, y1: bottom, y2: bottom, class: "axis" });
    draw(svg, "text", { x: (LEFT + right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, plot.xTitle);
    return { x, y, right, bottom };
  }

  function hover(figure, svg, width, place, plot) {
    const tip = make(figure, "div", undefined, "tip");
    const cursor = draw(svg, "line", { y1: TOP, y2: place.bottom, class: "cursor", visibility: "hidden" });
    const hide = () => {
      tip.style.visibility = "hidden";
      cursor.setAttribute("visibility", "hidden");
    };
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * width;
      const nearest = (points) =>
        points.reduce((a, b) => (Math.abs(place.x(b[0]) - at) < Math.abs(place.x(a[0]) - at) ? b : a));
      const near = plot.series.map((each) => nearest(each.points));
      if (near.length === 0) return hide();
      const value = near.reduce((a, b) => (Math.abs(place.x(b[0]) - at) < Math.abs(place.x(a[0]) - at) ? b : a))[0];
      tip.replaceChildren();
      make(tip, "b", plot.tipTitle(value));
      plot.series.forEach((each, i) => {
        const row = make(tip, "div", `${each.label ? each.label + "  " : ""}${plot.tipValue(near[i][1])}`);
        row.style.color = plot.series.length > 1 ? each.color : "";
      });
      cursor.setAttribute("x1", place.x(value));
      cursor.setAttribute("x2", place.x(value));
      cursor.setAttribute("visibility", "visible");
      const inside = figure.getBoundingClientRect();
      const left = event.clientX - inside.left + 14;
      tip.style.left = Math.max(0, Math.min(left, inside.width - tip.offsetWidth - 8)) + "px";
      tip.style.top = event.clientY - inside.top + 14 + "px";
      tip.style.visibility = "visible";
    });
  }

  function figureOf(parent, plot) {
    plot.series = plot.series.filter((each) => each.points.length > 0);
    if (plot.series.length === 0) return;
    const figure = make(parent, "figure", undefined, plot.wide ? "wide" : "");
    make(figure, "figcaption", plot.title);
    if (plot.note) make(figure, "div", plot.note, "soft");
    if (plot.series.length > 1) {
      const legend = make(figure, "div", undefined, "legend");
      for (const each of plot.series) {
        const entry = make(legend, "span");
        const swatch = make(entry, "i", undefined, each.dashed ? "dashed" : "");
        swatch.style.borderColor = each.color;
        entry.append(each.label);
      }
    }
    const width = plot.wide ? 2 * WIDTH : WIDTH;
    const svg = draw(figure, "svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": plot.title });
    const place = axes(svg, width, plot);
    for (const each of plot.series) {
      const line = each.points.map(([a, b]) => `${place.x(a).toFixed(1)},${place.y(b).toFixed(1)}`);
      const cls = each.dashed ? "series dashed" : "series";
      if (line.length === 1) {
        const [cx, cy] = line[0].split(",");
        draw(svg, "circle", { cx, cy, r: 4, fill: each.color });
      } else {
        draw(svg, "polyline", { points: line.join(" "), class: cls, stroke: each.color });
      }
    }
    hover(figure, svg, width, place, plot);
  }

  // One line for each run, or two in different strokes.
  const lines = (parts) =>
    runs.flatMap((run, i) =>
      parts.map(([name, points, dashed], part) => ({
        label: several ? (parts.length > 1 ? `${run.label} ${name}` : run.label) : name,
        points: points(run.result),
        dashed: several ? dashed : false,
        color: several ? color(i) : color(part),
      })));
  const largest = (series) => Math.max(0, ...series.flatMap((each) => each.points.map((p) => p[1])));
  const least = (series) => Math.min(...series.flatMap((each) => each.points.map((p) => p[1])).filter((v) => v > 0));

  function overTime(parent, title, note, parts, format, scale) {
    const series = lines(parts);
    const values = series.flatMap((each) => each.points);
    if (values.length === 0) return;
    const end = Math.max(...values.map((p) => p[0]));
    const x = linear(end, 6);
    x.marks = x.marks.filter((mark) => mark <= end * 1.001);
    const top = Math.max(end, x.marks[x.marks.length - 1]);
    figureOf(parent, {
      title, note, series,
      x: { marks: x.marks, at: (v) => v / top },
      y: scale(series),
      xTitle: "seconds", xLabel: trim, yLabel: format.tick,
      tipTitle: (v) => `${trim(v)} s`, tipValue: format.value,
    });
  }

  const timeline = (value) => (result) =>
    result.timeline.filter((e) => value(e) !== null && value(e) !== undefined).map((e) => [e.second, value(e)]);

  function plots(parent) {
    const curve = lines([
      ["latency", (r) => r.latency_curve, false],
      ["service time", (r) => r.service_curve || [], true],
    ].filter(([, points]) => runs.some((run) => points(run.result).length > 0)));
    const open = runs.some((run) => run.result.service_curve);
    if (largest(curve) > 0) {
      figureOf(parent, {
        wide: true, title: "Latency by percentile",
        note: open
          ? "Latency counts from when a call was meant to be sent, service time from when it was sent."
          : "Each mark to the right leaves a tenth of the calls.",
        series: curve, x: tail, y: logarithmic(least(curve), largest(curve)),
        xTitle: "percentile", xLabel: (p) => (p === 0 ? "min" : "p" + p), yLabel: timeTick,
        tipTitle: (p) => "p" + +p.toFixed(3), tipValue: time,
      });
    }
    overTime(parent, "Throughput", "calls a second that succeeded",
      [["calls/s", timeline((e) => (e.calls - e.errors) / e.seconds), false]],
      { tick: short, value: (v) => rate(v) + " calls/s" }, (s) => linear(largest(s), 5));
    overTime(parent, "Latency", several ? "solid p50, dashed p99" : "",
      [["p50", timeline((e) => (e.p50_us > 0 ? e.p50_us : null)), false],
       ["p99", timeline((e) => (e.p99_us > 0 ? e.p99_us : null)), true]],
      { tick: timeTick, value: time }, (s) => logarithmic(least(s), largest(s)));
    overTime(parent, "Server CPU", "cores in use",
      [["cores", timeline((e) => e.server_cpu_cores), false]],
      { tick: trim, value: (v) => v.toFixed(2) + " cores" }, (s) => linear(largest(s), 5));
    overTime(parent, "Server memory", "resident set",
      [["memory", timeline((e) => e.server_rss_bytes), false]],
      { tick: bytesTick, value: bytes }, (s) => linear(largest(s), 5, 2));
    if (runs.some((run) => run.result.errors > 0)) {
      overTime(parent, "Errors", "calls a second that failed",
        [["errors/s", timeline((e) => e.errors / e.seconds), false]],
        { tick: short, value: (v) => rate(v) + " errors/s" }, (s) => linear(largest(s), 5));
    }
  }

  // ---- Tables ----
  function table(parent, title, heads, rows) {
    if (rows.length === 0) return;
    make(parent, "h2", title);
    const body = make(make(parent, "div", undefined, "scroll"), "table");
    const head = make(make(body, "thead"), "tr");
    for (const [text, cls] of heads) make(head, "th", text, cls);
    const lines = make(body, "tbody");
    for (const row of rows) {
      const line = make(lines, "tr");
      row.cells.forEach((text, i) => {
        const cell = make(line, "td", undefined, heads[i][1]);
        if (i === 0 && row.color) make(cell, "i").style.background = row.color;
        cell.append(text);
      });
    }
  }

  const COLUMNS = ["mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"];
  const latencyCells = (latency) => COLUMNS.map((column) => time(latency[column]));
  const latencyHeads = COLUMNS.map((column) => [column.replace("_", ".")]);

  function runsTable(parent) {
    table(parent, "Runs",
      [["run"], ["calls/s"], ["items/s"], ["errors"], ...latencyHeads, ["server CPU a call"], ["server memory"]],
      runs.map((run, i) => ({
        color: color(i),
        cells: [run.label, rate(run.result.calls_per_second), rate(run.result.items_per_second),
          count(run.result.errors), ...latencyCells(run.result.latency_us),
          run.result.server ? time(run.result.server.cpu_us_per_call) : "–",
          run.result.server ? bytes(run.result.server.rss_bytes_max) : "–"],
      })));
  }

  function operationsTable(parent) {
    table(parent, "Operations",
      [["operation"], ["calls"], ["errors"], ["calls/s"], ["items/s"], ...latencyHeads],
      runs.flatMap((run, i) => Object.entries(run.result.operations).map(([name, operation]) => ({
        color: several ? color(i) : "",
        cells: [several ? `${run.label}: ${name}` : name, count(operation.calls), count(operation.errors),
          rate(operation.calls_per_second), rate(operation.items_per_second), ...latencyCells(operation.latency_us)],
      }))));
  }

  function errorsTable(parent) {
    table(parent, "Errors", [["code"], ["reason", "text"], ["calls"], ["first message", "text long"]],
      runs.flatMap((run, i) => run.result.errors_by_reason.map((error) => ({
        color: several ? color(i) : "",
        cells: [error.code, error.reason || "–", count(error.count), error.first_message],
      }))));
  }

  function settingsTables(parent) {
    make(parent, "h2", "Scenario and machine");
    for (const run of runs) {
      const machine = run.result.machine;
      make(parent, "p", `${several ? run.label + ": " : ""}${machine.cores} cores, ${machine.cpu || machine.architecture}, ` +
        `${machine.kernel}, ${bytes(machine.memory_bytes)} of memory; the client took ` +
        `${run.result.client.cpu_cores.toFixed(2)} cores.`, "soft");
      const more = make(parent, "details");
      make(more, "summary", `All settings${several ? " of " + run.label : ""}`);
      const body = make(make(make(more, "div", undefined, "scroll"), "table"), "tbody");
      for (const [name, value] of Object.entries(run.result.scenario)) {
        const line = make(body, "tr");
        make(line, "td", name);
        make(line, "td", typeof value === "object" ? JSON.stringify(value) : String(value), "text long");
      }
    }
  }

  // ---- The page ----
  function header(parent) {
    if (several) {
      make(parent, "h1", `${runs.length} runs compared`);
      runs.forEach((run) => make(parent, "p", `${run.label}: ${run.summary}; ${run.result.target}`, "soft"));
      return;
    }
    const { result, summary } = runs[0];
    make(parent, "h1", result.scenario.name || Object.keys(result.operations).join(", "));
    if (result.scenario.description) make(parent, "p", result.scenario.description);
    make(parent, "p", summary, "soft");
    make(parent, "p", `${result.target}, ${significant(result.duration_seconds)} s from ${result.started}, seed ${result.seed}`,
      "soft");
    const tiles = make(parent, "div", undefined, "tiles");
    const tile = (label, value, bad) => {
      const box = make(tiles, "div", undefined, bad ? "tile bad" : "tile");
      make(box, "span", label);
      make(box, "b", value);
    };
    tile("calls a second", rate(result.calls_per_second));
    if (Math.abs(result.items_per_second - result.calls_per_second) > 1) tile("keys or rows a second", rate(result.items_per_second));
    tile("p50", time(result.latency_us.p50));
    tile("p99", time(result.latency_us.p99));
    tile("p99.99", time(result.latency_us.p99_99));
    if (result.server) tile("server CPU a call", time(result.server.cpu_us_per_call));
    tile("failed calls", count(result.errors), result.errors > 0);
  }

  header(page);
  for (const run of runs) {
    for (const warning of run.result.warnings || []) {
      make(page, "div", several ? `${run.label}: ${warning}` : warning, "notice");
    }
    if (!several && run.result.first_error) make(page, "div", run.result.first_error, "notice bad");
  }
  plots(make(page, "div", undefined, "plots"));
  if (several) runsTable(page);
  operationsTable(page);
  errorsTable(page);
  settingsTables(page);
  document.title = several ? `quarry-load: ${runs.length} runs` : `quarry-load: ${page.querySelector("h1").textContent}`;
})();
