/** What the control plane says of the daemon inside: E2B's clients decide by it what they may ask for. All that it stands for is there. */
export const ENVD_VERSION = '0.6.13'
