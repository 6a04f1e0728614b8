"""How the page looks: by day and by night as the reader's system says, on a desk's screen and in a hand."""

STYLE = """
:root { color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --ink: #18212b; --soft: #5a6775; --rule: #e2e6eb; --axis: #b4bcc6;
  --curve: #2360c4; --gain: #137a56; --loss: #bf3b34; --fall-area: #bf3b3420; }
@media (prefers-color-scheme: dark) { :root {
  --page: #10151a; --card: #181f26; --ink: #e7ecf1; --soft: #98a5b3; --rule: #29323c; --axis: #56626f;
  --curve: #76abff; --gain: #43bd8d; --loss: #f2766f; --fall-area: #f2766f26; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 16px; margin: 0 0 10px; }
h3 { font-size: 14px; margin: 18px 0 6px; color: var(--soft); font-weight: 600; }
p { margin: 0 0 8px; } .soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 18px 20px;
  margin-top: 16px; min-width: 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 16px; }
.tiles { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px 20px; margin: 0; }
.tiles div { min-width: 0; } dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
dd.value { font-size: 20px; line-height: 1.35; font-weight: 600; font-variant-numeric: tabular-nums; }
dd.note { color: var(--soft); font-size: 12.5px; line-height: 1.4; }
.tiles + .tiles { border-top: 1px solid var(--rule); margin-top: 18px; padding-top: 16px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; }
svg.narrow { display: none; }
svg text.axis { fill: var(--soft); } svg text.amount { fill: var(--ink); font-size: 11px; font-weight: 600; }
svg .grid { stroke: var(--rule); } svg .zero { stroke: var(--axis); }
svg .step { stroke: var(--axis); stroke-dasharray: 3 3; }
svg .curve, svg .fall { fill: none; stroke: var(--curve); stroke-width: 1.8; stroke-linejoin: round; }
svg .without { fill: none; stroke: var(--axis); stroke-width: 1.4; stroke-dasharray: 4 3; }
svg .fall { stroke: var(--loss); stroke-width: 1.2; }
svg .fall-area { fill: var(--fall-area); }
svg .end, svg .plain { fill: var(--curve); } svg .gain { fill: var(--gain); } svg .loss { fill: var(--loss); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 5px 12px 5px 0; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 600; } tfoot td { font-weight: 600; border-bottom: 0; }
th:last-child, td:last-child { padding-right: 2px; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.gain-text { color: var(--gain); } .loss-text { color: var(--loss); }
.digest { font-family: ui-monospace, "SF Mono", Consolas, monospace; font-size: 12.5px; }
@media (max-width: 860px) { .pair { grid-template-columns: 1fr; } .pair svg { max-width: 560px; margin: 0 auto; } }
@media (max-width: 620px) { main { padding: 18px 10px 32px; } section { padding: 14px 12px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px 12px; } dd.value { font-size: 17px; }
  svg.wide { display: none; } svg.narrow { display: block; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
