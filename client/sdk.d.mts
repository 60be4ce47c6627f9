// The types of sdk.mjs: the declarations that ./caisson generates from index.ts.
export * from '../dist/types/client/index.js'
