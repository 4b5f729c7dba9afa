// The style sheet of the page at /debug/rpc: that of the registry's page, and colors for the charts.

/** Light or dark as the browser says; one column of cards where the screen is narrow. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --text: light-dark(#1a1d21, #e6e8eb);
  --soft: light-dark(#5c636b, #9aa2ab);
  --back: light-dark(#ffffff, #15181c);
  --tile: light-dark(#f5f7f9, #1d2126);
  --line: light-dark(#d9dde2, #30363d);
  --bar: light-dark(#5b8def, #5f92f0);
  --good: light-dark(#116329, #6fdd8b);
  --warn: light-dark(#8a4b00, #f0b35a);
  --bad: light-dark(#a40e26, #ff8b8b);
}
* { box-sizing: border-box }
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 84rem; margin: 2rem auto; padding: 0 1rem;
}
header { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem 1.5rem }
header p { margin: 0 }
h1 { font-size: 1.4rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere }
a { color: inherit }
#status { color: var(--warn) }
#status[data-live="yes"] { color: var(--good) }
button { font: inherit; padding: .1rem .8rem }
:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px }
.n { text-align: right; white-space: nowrap }
.warn { color: var(--warn) }
.bad { color: var(--bad) }
.rest, small { color: var(--soft) }
small { display: block; font-size: .8rem; line-height: 1.2; white-space: normal }
dl { display: flex; flex-wrap: wrap; gap: .6rem; margin: 0 }
dl > div { background: var(--tile); border: 1px solid var(--line); border-radius: .4rem; padding: .35rem .8rem; min-width: 6.5rem }
dt { color: var(--soft); font-size: .85rem }
dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
section:not(.summary) dd { font-size: 1rem }
dl + table { margin-top: .8rem }
.summary { display: flex; flex-wrap: wrap; gap: 1rem; align-items: stretch; justify-content: space-between; margin-top: 1.2rem }
.history { margin: 0; flex: 1 1 14rem; max-width: 26rem; min-width: 12rem }
.history svg { display: block; width: 100%; height: 3.2rem; border-bottom: 1px solid var(--line) }
.history path { fill: none; stroke: var(--bar); stroke-width: 1.5; vector-effect: non-scaling-stroke }
figcaption { color: var(--soft); font-size: .8rem }
.trouble { list-style: none; margin: 0; padding: 0 }
.trouble li { overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: middle; padding: .35rem .6rem; border-bottom: 1px solid var(--line) }
td, tbody th { overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
thead th { font-weight: 600; color: var(--soft); white-space: nowrap }
thead .n { text-align: right }
tbody th { font-weight: 600 }
tbody tr:hover { background: var(--tile) }
@media (width >= 66rem) {
  .methods { table-layout: fixed }
  .methods .n { width: 6.6% }
  .methods .n:nth-child(3) { width: 8.4% }
  .methods .n:nth-child(4) { width: 9% }
  .methods thead th:last-child { width: 17rem }
  .calls { max-width: 64rem }
}
td:has(> .histogram) { padding-right: 0 }
tr[data-state="abandoned"] th, tr[data-state="failing"] th, tr[data-state="ejected"] th { color: var(--warn) }
.histogram { display: block; width: 100%; max-width: 320px; height: auto }
.histogram .bars { fill: var(--bar) }
.histogram .grid { fill: none; stroke: var(--line); stroke-width: 1 }
.histogram text { fill: var(--soft); font-size: 10px }
.histogram path.p50 { stroke: var(--good); stroke-width: 1.5 }
.histogram path.p99 { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 3 2 }
.histogram text.p50 { fill: var(--good) }
.histogram text.p99 { fill: var(--bad) }
.elapsed { width: 60px; height: 6px; vertical-align: middle; margin-right: .3rem }
.elapsed .all { fill: var(--line) }
.elapsed .part { fill: var(--bar) }
.elapsed .late { fill: var(--warn) }
@media (width < 66rem) {
  thead { display: none }
  table, tbody { display: block }
  tbody tr {
    display: grid; grid-template-columns: repeat(auto-fill, minmax(4.7rem, 1fr)); gap: .1rem .8rem;
    padding: .6rem 0; border-bottom: 1px solid var(--line);
  }
  tbody th, td:has(> bdi, > .histogram) { grid-column: 1 / -1 }
  tbody th, td { border: 0; padding: 0; min-width: 0 }
  td.n { text-align: left; white-space: normal }
  td::before { content: attr(data-label); display: block; color: var(--soft); font-size: .8rem; line-height: 1.2; white-space: nowrap }
  td:has(> small) { grid-column: span 2 }
  td:empty, td:has(> .rate:empty) { display: none }
  .histogram { width: 100%; max-width: 26rem; height: auto }
}
`;
