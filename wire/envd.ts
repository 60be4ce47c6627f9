/** The envd version that the control plane reports. E2B's clients choose features by it; all features of this version are implemented. */
export const ENVD_VERSION = '0.6.13'
