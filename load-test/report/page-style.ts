/** The page's style: one column, wide tables scroll by themselves. */
import { readPageFile } from '../../src/live/page-files.ts';

export const PAGE_STYLE = `${readPageFile('palette.css')}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
code { font: .9em ui-monospace, monospace; background: var(--panel); padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
.callout { border-left: 4px solid var(--muted); background: var(--panel); padding: .5rem .75rem; }
.callout.good { border-color: var(--good); } .callout.warn { border-color: var(--warn); } .callout.bad { border-color: var(--bad); }
.table { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 8rem; }
.text th, .text td { text-align: left; padding-left: 0; white-space: normal; vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; }
figure { margin: 1.25rem 0; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .25rem; }
.chart { width: 100%; min-height: 18rem; }
.uplot, .uplot .u-legend { width: 100%; }
.u-legend { font-size: .85rem; text-align: left; color: var(--text); }
.u-legend th { color: inherit; font-weight: 400; }
.u-legend th, .u-legend td { border: 0; padding: .1rem .3rem; text-align: left; min-width: 0; }`;
