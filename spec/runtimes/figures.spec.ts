import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Figures, PNG } from './figures.ts'

// When a matplotlib figure becomes a result, and how often.

let figures: Figures
beforeAll(async () => {
  figures = await Figures.open()
})
afterAll(() => figures[Symbol.asyncDispose]())

describe('a figure is shown once', () => {
  test.each([
    ['as a value', 'fig, ax = plt.subplots(); ax.plot([1, 2]); fig', [true]],
    ['when the cell is over', 'plt.plot([1, 2]); None', [false]],
    ['when it is shown, before what comes after it', 'plt.plot([1, 2]); plt.show()\n5', [false, true]],
    ['when it is saved, and shown as it is', 'plt.plot([1, 2]); plt.savefig("a.png"); plt.show()', [false]],
    ['when it is saved and closed', 'plt.plot([1, 2]); plt.savefig("a.pdf"); plt.close()', [false]],
    ['when it is saved into memory, and then shown', 'plt.plot([1, 2]); plt.savefig(io.BytesIO()); plt.show()', [false]],
  ])('%s', async (_when, code, main) => {
    const shown = await figures.results(code)
    expect(shown.map(({ isMainResult }) => isMainResult)).toEqual(main)
    expect(shown[0]).toMatchObject({ png: expect.stringMatching(PNG), chart: { type: 'line' } })
  })

  test('and again when it has changed', async () => {
    const titles = (await figures.results('plt.plot([1, 2]); plt.savefig("a.png"); plt.title("later"); plt.show()')).map(
      ({ chart }) => (chart as { title: string }).title,
    )
    expect(titles).toEqual([null, 'later'])
  })
})

const SVG = expect.stringMatching(/^<\?xml[\s\S]*<svg /)
// Last: what is chosen stays.
test.each([
  ['by IPython', 'from matplotlib_inline.backend_inline import set_matplotlib_formats; set_matplotlib_formats("svg")', { svg: SVG }],
  ['by its magic', '%config InlineBackend.figure_formats = ["png", "svg"]', { svg: SVG, png: expect.stringMatching(PNG) }],
  ['by its magic, one', '%config InlineBackend.figure_format = "retina"', { png: expect.stringMatching(PNG) }],
])('figures are shown in the forms that are chosen %s, once, and with their data', async (_how, choice, forms) => {
  await figures.results(choice)
  for (const [code, main] of [
    ['fig, ax = plt.subplots(); ax.plot([1, 2]); fig', true],
    ['plt.plot([1, 2]); None', false],
    ['plt.plot([1, 2]); plt.savefig("a.png"); plt.show()', false],
  ] as const) {
    const shown = await figures.results(code)
    expect(shown).toMatchObject([{ isMainResult: main, ...forms, chart: { type: 'line' } }])
    expect(
      Object.keys(shown[0] ?? {})
        .filter((form) => ['png', 'svg'].includes(form))
        .toSorted(),
    ).toEqual(Object.keys(forms).toSorted())
  }
})
