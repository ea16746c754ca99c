/** Colours of the pages with plots, by meaning, for light and dark; s0 to s7 can be told apart by colour-blind readers. */
export const PALETTE = `:root {
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
}`;
