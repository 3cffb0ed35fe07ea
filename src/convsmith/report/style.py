"""The style sheet of the page: light and dark by the reader's setting, narrow screens, print. Nothing is fetched."""

CSS = """
:root { color-scheme: light dark; --ground: #f6f8fa; --card: #ffffff; --ink: #1f2328; --muted: #59636e;
  --border: #d1d9e0; --groove: #e4e8ec; --accent: #0b5cc4; --train: #2563eb; --val: #c2410c;
  --good: #1a7f37; --busy: #0b5cc4; --warn: #8a5a00; --bad: #c5221f; --warn-ground: #fff8e6; --warn-border: #ecd08a; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --card: #161b22; --ink: #e6edf3; --muted: #9ba5b0;
  --border: #30363d; --groove: #2a313a; --accent: #6cb0ff; --train: #6ea8fe; --val: #ff9558;
  --good: #56d364; --busy: #6cb0ff; --warn: #e9b949; --bad: #ff7b72; --warn-ground: #272115; --warn-border: #5c4a1e; }
  .cs-figure [stroke="#0072b2"] { stroke: #3f9bdc; } .cs-figure [fill="#0072b2"] { fill: #3f9bdc; }
  .cs-figure [stroke="#6e7781"] { stroke: #8d96a0; } .cs-figure [fill="#6e7781"] { fill: #8d96a0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif; -webkit-text-size-adjust: 100%; }
.page { max-width: 1076px; margin: 0 auto; padding: 28px 20px 40px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 18px; line-height: 1.3; margin: 0 0 14px; }
h3 { font-size: 15px; margin: 0 0 8px; }
a { color: var(--accent); }
p { margin: 0 0 12px; max-width: 76ch; }
.muted { color: var(--muted); }
.top { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; margin-bottom: 6px; }
.state { border: 1px solid currentColor; border-radius: 99px; padding: 1px 12px; font-size: 13px; font-weight: 600; }
.good { color: var(--good); } .busy { color: var(--busy); } .warn { color: var(--warn); } .bad { color: var(--bad); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 20px; padding: 0;
  font-size: 14px; }
nav a { text-decoration: none; } nav a:hover, nav a:focus-visible { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.card { background: var(--card); border: 1px solid var(--border); border-radius: 12px; padding: 20px 22px;
  margin: 0 0 18px; }
.lead { display: grid; grid-template-columns: minmax(250px, 1fr) 2.1fr; gap: 18px; margin-bottom: 18px; }
.lead > * { margin: 0; display: grid; align-content: center; } .hero p { margin: 0; }
.hero .value { font-size: 46px; line-height: 1.1; font-weight: 700; letter-spacing: -0.02em; }
.hero .bar { position: relative; height: 8px; border-radius: 4px; background: var(--groove); margin: 14px 0 8px; }
.hero .bar i { position: absolute; top: 0; bottom: 0; left: 0; border-radius: 4px; background: var(--train); }
.hero .bar b { position: absolute; top: -4px; bottom: -4px; border: 2px solid var(--ink); border-radius: 4px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 16px 18px; margin: 0;
  align-content: center; }
.tiles dt { color: var(--muted); font-size: 13px; } .tiles dd { margin: 0; font-size: 18px; font-weight: 600;
  overflow-wrap: anywhere; line-height: 1.3; }
.notes { background: var(--warn-ground); border-color: var(--warn-border); }
.notes h2 { color: var(--warn); margin-bottom: 6px; font-size: 15px; } .notes ul { margin: 0; padding-left: 20px; }
.notes li { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } .scroll > svg { display: block; height: auto; max-width: 100%; }
.wide > svg { min-width: 750px; } .square > svg { min-width: 380px; }
.pair { display: flex; flex-wrap: wrap; gap: 22px 32px; align-items: flex-start; }
.pair > .scroll { flex: 0 1 auto; min-width: 0; max-width: 100%; }
.pair > div:last-child { flex: 1 1 320px; min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--groove); overflow-wrap: anywhere;
  vertical-align: top; font-weight: 400; }
thead th { color: var(--muted); font-size: 13px; font-weight: 600; overflow-wrap: normal; }
td:not(.number, .f1) { min-width: 84px; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 2px; }
tbody tr:last-child > * { border-bottom: 0; }
.gap td { color: var(--muted); text-align: center; }
.f1 { width: 34%; }
.f1 span { display: block; height: 8px; border-radius: 4px; background: var(--groove); margin-top: 7px; }
.f1 i { display: block; height: 8px; border-radius: 4px; background: var(--train); }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 18px 14px; margin: 0;
  padding: 0; list-style: none; }
.mistakes figure { margin: 0; } .mistakes img { display: block; width: 100%; height: auto;
  aspect-ratio: 1; object-fit: contain;
  background: var(--groove); border-radius: 8px; }
.mistakes .pixels { image-rendering: pixelated; }
.mistakes figcaption { font-size: 13px; line-height: 1.4; margin-top: 6px; overflow-wrap: anywhere; }
.mistakes small { display: block; color: var(--muted); font-size: 12px; }
summary { cursor: pointer; font-size: 18px; font-weight: 600; } details[open] summary { margin-bottom: 12px; }
.settings { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.settings th, .settings td { font-size: 13px; } .settings th { width: 38%; color: var(--muted); }
footer { color: var(--muted); font-size: 13px; }
.cs-card { fill: none; stroke: none; } .cs-ink { fill: var(--ink); } .cs-muted { fill: var(--muted); }
.cs-grid { stroke: var(--groove); } .cs-groove { fill: var(--groove); } .cs-arrow { stroke: var(--muted); }
.cs-rim { stroke: var(--card); }
.cs-train { stroke: var(--train); } .cs-val { stroke: var(--val); }
.cs-train-text { fill: var(--train); } .cs-val-text { fill: var(--val); }
@media (max-width: 700px) { .page { padding: 18px 12px 32px; } .card { padding: 16px 14px; }
  .lead { grid-template-columns: 1fr; } .tiles { grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); }
  .mistakes { grid-template-columns: repeat(auto-fill, minmax(110px, 1fr)); } h1 { font-size: 23px; }
  .f1 { display: none; } th, td { padding-right: 10px; } }
@media print { :root { --ground: #ffffff; --card: #ffffff; --ink: #1f2328; --muted: #59636e; --border: #d1d9e0;
    --groove: #e4e8ec; --train: #2563eb; --val: #c2410c; --warn: #8a5a00; --warn-ground: #fff8e6; color-scheme: light; }
  nav { display: none; } .page { max-width: none; padding: 0; } .wide > svg { min-width: 0; }
  .mistakes { grid-template-columns: repeat(6, 1fr); }
  figure, tr, .tiles, .hero { break-inside: avoid; } h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
