// The style sheet of the registry's page.

/** Supports the browser's light and dark color schemes, and narrow screens by a single column of cards. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --text: light-dark(#1a1d21, #e6e8eb);
  --soft: light-dark(#5c636b, #9aa2ab);
  --back: light-dark(#ffffff, #15181c);
  --line: light-dark(#d9dde2, #30363d);
  --good: light-dark(#116329, #6fdd8b);
  --warn: light-dark(#8a4b00, #f0b35a);
  --bad: light-dark(#a40e26, #ff8b8b);
}
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 80rem; margin: 2rem auto; padding: 0 1rem;
}
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 2rem }
h1 { font-size: 1.4rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
.filter { font-size: .9rem; font-weight: normal; margin-left: 1rem; color: var(--soft) }
#status { color: var(--warn) }
#status[data-live="yes"] { color: var(--good) }
#problem { color: var(--bad) }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .35rem .45rem; border-bottom: 1px solid var(--line) }
td { font-variant-numeric: tabular-nums }
.metadata { overflow-wrap: anywhere; min-width: 4rem }
.wide { overflow-x: auto }
a { color: inherit }
th { font-weight: 600; color: var(--soft); white-space: nowrap }
.n { text-align: right; white-space: nowrap }
tr[data-state="paused"] .state, tr[data-state="draining"] .state { color: var(--warn) }
.actions { white-space: nowrap; position: sticky; right: 0; background: var(--back) }
button, input { font: inherit }
button { padding: 0 .5rem; margin-right: .3rem }
@media (max-width: 66rem) {
  thead { display: none }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line) }
  td { display: flex; gap: 1rem; justify-content: space-between; border: 0; padding: .1rem 0; overflow-wrap: anywhere }
  .actions { position: static; justify-content: flex-end }
  td::before { content: attr(data-label); color: var(--soft); flex: none }
  td:empty { display: none }
}
`;
