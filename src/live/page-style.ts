/** The live page's style: tiles and plots in a grid that becomes one column on a phone. */
import { PALETTE } from './palette.ts';

export const LIVE_STYLE = `${PALETTE}
* { box-sizing: border-box; }
html { background: var(--panel); }
body { margin: 0; color: var(--text); font: 16px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.page { max-width: 80rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; margin-bottom: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1rem; margin: 0; }
p { margin: 0; }
a { color: var(--s0); }
#facts { color: var(--soft); flex: 1 1 18rem; }
.badge { display: inline-flex; align-items: center; gap: .5rem; font-weight: 600; }
.badge::before { content: ""; width: .7rem; height: .7rem; border-radius: 50%; background: currentColor; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .muted { color: var(--soft); }
.card { background: var(--ground); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; min-width: 0; }
.state { display: flex; flex-wrap: wrap; gap: .1rem 1rem; border-left: .3rem solid currentColor; margin-bottom: 1rem; }
.state span { color: var(--text); }
.tiles { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .75rem; margin-bottom: .75rem; }
.tiles h2 { color: var(--soft); font-weight: 600; }
.value { font-size: 1.7rem; line-height: 1.25; font-weight: 600; overflow-wrap: anywhere; }
.value small { font-size: 1rem; font-weight: 400; color: var(--soft); white-space: nowrap; }
.note { color: var(--soft); overflow-wrap: anywhere; }
.plots, .tables { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .75rem; margin-bottom: .75rem; }
.plots .card { display: flex; flex-direction: column; }
.legend { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 0 .5rem; list-style: none; margin: .25rem 0 .5rem; padding: 0; min-height: 1.45em; }
.legend li { white-space: nowrap; display: inline-flex; align-items: baseline; gap: .4rem; }
.legend i { width: .9rem; height: .25rem; border-radius: 2px; align-self: center; }
.legend b { font-weight: 600; }
.plot { flex: 1 1 200px; min-height: 200px; position: relative; overflow: hidden; }
.plot .uplot { position: absolute; inset: 0; }
.u-over { cursor: crosshair; }
.u-hz .u-cursor-x { border-right: 1px solid var(--soft); }
table { width: 100%; border-collapse: collapse; margin-top: .5rem; }
th, td { padding: .3rem 0 .3rem .75rem; text-align: right; border-top: 1px solid var(--line); white-space: nowrap; }
thead th { border: 0; color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 400; }
th.code { font: 1em ui-monospace, monospace; }
.stale .tiles, .stale .plots, .stale .tables, .stale .state { opacity: .55; }
footer { color: var(--soft); max-width: 60rem; }
footer p { margin-top: .5rem; }
@media (max-width: 60rem) { .plots, .tables { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 44rem) {
  .page { padding: 1rem .6rem 2rem; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; }
  .card { padding: .6rem .75rem; }
  .value { font-size: 1.4rem; }
  th, td { padding-left: .4rem; }
  .wide { display: none; }
}`;
