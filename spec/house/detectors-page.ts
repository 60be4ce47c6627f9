interface Detector {
  readonly name: string
  readonly finds: string
}

/** docs/reference/detectors.md, as policy/dlp/detectors has it. */
export function detectorsPage(families: Readonly<Record<string, { readonly detectors: readonly Detector[] }>>): string {
  const rows = Object.entries(families).flatMap(([family, { detectors }]) =>
    detectors.map(
      ({ name, finds }, index) => `| ${index === 0 ? `\`${dashed(family)}\`` : ''} | \`${name}\` | ${finds.replaceAll('|', '\\|')} |`,
    ),
  )
  return `# Detectors

What \`dlp\` looks for in outgoing data ([what may not leave](dlp.md)). \`dlp.detectors\` takes the name of a detector, of its family, or \`all\`.
This page is generated from policy/dlp/detectors (\`npm run docs\`).

| Family | Detector | Finds |
|---|---|---|
${rows.join('\n')}
`
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
