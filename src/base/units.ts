/** Factors between units, named `SMALL_PER_LARGE`: multiply to get the smaller unit, divide to get the larger one. */

export const MS_PER_SECOND = 1e3;
export const US_PER_MS = 1e3;
export const US_PER_SECOND = 1e6;
export const NS_PER_MS = 1e6;
export const NS_PER_SECOND = 1e9;

export const MIB = 2 ** 20;
