/** The page's style: one column, wide tables scroll by themselves. */
export const PAGE_STYLE = `:root {
  --ground: #ffffff; --text: #1c2430; --soft: #5b6675; --line: #dfe4ea; --panel: #f6f8fa;
  --good: #1a7f4b; --warn: #b35900; --bad: #c0322b; --muted: #7b8694;
  --s0: #2563b0; --s1: #d1661f; --s2: #128a7e; --s3: #8b4fc7; --s4: #b8457f; --s5: #7d6b1f; --s6: #4a5568; --s7: #3aa0d8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161c; --text: #e4e9ef; --soft: #9aa7b5; --line: #2c343e; --panel: #1a2027;
    --good: #4cc38a; --warn: #f0a04b; --bad: #f27d72; --muted: #8b97a5;
    --s0: #6aa9f0; --s1: #f0955a; --s2: #4fc7b8; --s3: #bd93f0; --s4: #ee8fb9; --s5: #d0bb62; --s6: #a9b4c2; --s7: #86cdf3;
  }
}
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
