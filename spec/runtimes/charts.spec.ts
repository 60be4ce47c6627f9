import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Figures } from './figures.ts'

// The data that comes beside the picture of a matplotlib figure, for each type of chart. Figures and numbers are those of E2B's own examples where it has some.

let figures: Figures
beforeAll(async () => {
  figures = await Figures.open()
})
afterAll(() => figures[Symbol.asyncDispose]())
const chart = (...lines: string[]) => figures.chart(...lines)

const UNSET = { title: null, x_label: null, y_label: null, x_unit: null, y_unit: null }
const NUMBERED = {
  x_ticks: expect.arrayContaining([expect.any(Number)]),
  x_tick_labels: expect.arrayContaining([expect.any(String)]),
  x_scale: 'linear',
  y_ticks: expect.arrayContaining([expect.any(Number)]),
  y_tick_labels: expect.arrayContaining([expect.any(String)]),
  y_scale: 'linear',
}

describe('line', () => {
  test('lines with their names, labels with their units', async () => {
    expect(
      await chart(
        'plt.plot([0, 1, 2], [0, 1.5, float("nan")], label="sin(x)")',
        'plt.plot([0, 1, 2], [3, 2, 1])',
        'plt.axhline(1)',
        'plt.xlabel("Time (s)"); plt.ylabel("Amplitude [Hz]"); plt.title("Plot of sin(x)"); plt.grid(True); plt.legend()',
      ),
    ).toEqual({
      ...NUMBERED,
      type: 'line',
      title: 'Plot of sin(x)',
      x_label: 'Time (s)',
      y_label: 'Amplitude [Hz]',
      x_unit: 's',
      y_unit: 'Hz',
      elements: [
        // biome-ignore format: points are pairs.
        { label: 'sin(x)', points: [[0, 0], [1, 1.5], [2, null]] },
        // biome-ignore format: points are pairs.
        { label: 'Line 1', points: [[0, 3], [1, 2], [2, 1]] },
      ],
    })
  })

  test('dates are ISO, on the axis and in the points', async () => {
    const made = await chart(
      'days = [datetime.date(2023, 9, 1) + datetime.timedelta(days=i) for i in range(3)]',
      'plt.plot(days, [1, 2, 3])',
    )
    expect(made).toMatchObject({ x_scale: 'datetime', y_scale: 'linear' })
    const { x_ticks, elements } = made as { x_ticks: string[]; elements: unknown[] }
    expect(x_ticks[0]).toMatch(/^2023-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/)
    // biome-ignore format: points are pairs.
    expect(elements).toEqual([{ label: 'Line 0', points: [['2023-09-01', 1], ['2023-09-02', 2], ['2023-09-03', 3]] }])
    const index = 'pd.DataFrame({"v": [1, 2]}, index=pd.date_range("2024-01-01", periods=2)).plot()'
    expect(await chart(index)).toMatchObject({
      x_scale: 'datetime',
      // biome-ignore format: points are pairs.
      elements: [{ label: 'v', points: [['2024-01-01T00:00:00', 1], ['2024-01-02T00:00:00', 2]] }],
    })
  })

  test('categories are their names', async () => {
    expect(await chart('plt.plot([1, 2, 3], ["A", "B", "C"])')).toMatchObject({
      x_scale: 'linear',
      y_scale: 'categorical',
      y_ticks: [0, 1, 2],
      y_tick_labels: ['A', 'B', 'C'],
      // biome-ignore format: points are pairs.
      elements: [{ points: [[1, 'A'], [2, 'B'], [3, 'C']] }],
    })
  })

  test.each(['log', 'symlog', 'logit', 'asinh'])('a scale that is %s says so', async (scale) => {
    const made = await chart('plt.plot([1, 2, 3], [0.1, 0.5, 0.9])', `plt.yscale("${scale}"); plt.ylabel("Y-axis (log scale)")`)
    expect(made).toMatchObject({ type: 'line', x_scale: 'linear', y_scale: scale, y_unit: 'log scale' })
  })

  test('bands and error bars belong to their lines', async () => {
    const band = 'plt.fill_between([1, 2, 3], [0, 1, 2], [2, 3, 4], alpha=0.3)'
    const made = await chart('plt.errorbar([1, 2, 3], [1, 2, 3], yerr=0.1, capsize=3, label="measured")', band)
    // biome-ignore format: points are pairs.
    expect(made).toMatchObject({ type: 'line', elements: [{ label: 'measured', points: [[1, 1], [2, 2], [3, 3]] }] })
  })
})

test('scatter', async () => {
  expect(
    await chart(
      'plt.xlabel("A"); plt.ylabel("B"); plt.grid(True)',
      'plt.scatter([1, 2], [3, 4], c="blue", label="Dataset 1")',
      'plt.scatter([1.5], [2.5], c=[3]); plt.colorbar(); plt.axvline(1)',
    ),
  ).toEqual({
    ...UNSET,
    ...NUMBERED,
    type: 'scatter',
    x_label: 'A',
    y_label: 'B',
    elements: [
      // biome-ignore format: points are pairs.
      { label: 'Dataset 1', points: [[1, 3], [2, 4]] },
      { label: 'Scatter 1', points: [[1.5, 2.5]] },
    ],
  })
})

describe('bar', () => {
  test('each bar with its name, its group and its value', async () => {
    expect(
      await chart(
        'plt.bar(["Author A", "Author B"], [100, 200], yerr=[1, 2])',
        'plt.xlabel("Authors"); plt.ylabel("Books (thousands)"); plt.title("Sales"); plt.tight_layout()',
      ),
    ).toEqual({
      type: 'bar',
      title: 'Sales',
      x_label: 'Authors',
      y_label: 'Books (thousands)',
      x_unit: null,
      y_unit: 'thousands',
      elements: [
        { label: 'Author A', group: expect.stringMatching(/^Group \d$/), value: 100 },
        { label: 'Author B', group: expect.stringMatching(/^Group \d$/), value: 200 },
      ],
    })
  })

  test('groups beside each other', async () => {
    const made = await chart(
      'x = np.arange(2)',
      'plt.bar(x - 0.2, [1, 2], 0.4, label="Men"); plt.bar(x + 0.2, [3, 4], 0.4, label="Women")',
      'plt.xticks(x, ["G1", "G2"]); plt.legend()',
    )
    expect((made as { elements: unknown[] }).elements).toEqual([
      { label: 'G1', group: 'Men', value: 1 },
      { label: 'G2', group: 'Men', value: 2 },
      { label: 'G1', group: 'Women', value: 3 },
      { label: 'G2', group: 'Women', value: 4 },
    ])
  })

  test('that lie: what they stand on is x all the same', async () => {
    expect(await chart('plt.barh(["a", "b"], [3, 3]); plt.xlabel("length (m)"); plt.ylabel("thing")')).toMatchObject({
      x_label: 'thing',
      y_label: 'length (m)',
      y_unit: 'm',
      elements: [
        { label: 'a', value: 3 },
        { label: 'b', value: 3 },
      ],
    })
  })

  test('of numbers, dates and ranges', async () => {
    const labels = async (code: string) => ((await chart(code)) as { elements: { label: string }[] }).elements.map(({ label }) => label)
    expect(await labels('plt.bar([1, 2, 4], [1, 2, 3])')).toEqual(['1', '2', '4'])
    expect(await labels('plt.bar(pd.to_datetime(["2024-01-01", "2024-01-02"]), [1, 2])')).toEqual([
      '2024-01-01T00:00:00+00:00',
      '2024-01-02T00:00:00+00:00',
    ])
    expect(await labels('plt.hist([1, 1, 2, 4], bins=3)')).toEqual(['1 - 2', '2 - 3', '3 - 4'])
  })
})

test('pie', async () => {
  expect(
    await chart(
      'fig, ax = plt.subplots()',
      'ax.pie([90, 10], labels=["No", "No, in blue"], autopct="%1.1f%%", startangle=90, shadow=True)',
      'ax.add_artist(plt.Circle((0, 0), 0.6, color="white")); ax.axis("equal"); plt.title("Will I wake up early tomorrow?")',
    ),
  ).toEqual({
    type: 'pie',
    title: 'Will I wake up early tomorrow?',
    elements: [
      { label: 'No', angle: 324, radius: 1 },
      { label: 'No, in blue', angle: 36, radius: 1 },
    ],
  })
})

describe('box_and_whisker', () => {
  const DATA = [
    'data = [[85, 90, 78, 92, 88], [95, 89, 76, 91, 84, 87], [75, 82, 88, 79, 86]]',
    'import inspect',
    // The name of it has changed.
    'named = "tick_labels" if "tick_labels" in inspect.signature(plt.Axes.boxplot).parameters else "labels"',
    'names = {named: ["Class A", "Class B", "Class C"]}',
    'fig, ax = plt.subplots()',
    'ax.set_title("Exam"); ax.set_xlabel("Class"); ax.set_ylabel("Score")',
  ]
  const ELEMENTS = [
    { label: 'Class A', min: 78, first_quartile: 85, median: 88, third_quartile: 90, max: 92, outliers: [] },
    { label: 'Class B', min: 84, first_quartile: 84.75, median: 88, third_quartile: 90.5, max: 95, outliers: [76] },
    { label: 'Class C', min: 75, first_quartile: 79, median: 82, third_quartile: 86, max: 88, outliers: [] },
  ]

  test.each([
    ['drawn as shapes', 'ax.boxplot(data, patch_artist=True, **names)'],
    ['drawn as lines', 'ax.boxplot(data, **names)'],
    ['drawn twice', 'ax.boxplot(data, **names); ax.boxplot(data, patch_artist=True, **names)'],
    ['with notches and means', 'ax.boxplot(data, notch=True, showmeans=True, **names)'],
  ])('%s', async (_how, code) => {
    const labels = { title: 'Exam', x_label: 'Class', y_label: 'Score', x_unit: null, y_unit: null }
    expect(await chart(...DATA, code)).toEqual({ type: 'box_and_whisker', ...labels, elements: ELEMENTS })
  })

  test('that lie, and from seaborn', async () => {
    const lying = ['ax.set_xlabel("Score"); ax.set_ylabel("Class")', 'ax.boxplot(data, vert=False, patch_artist=True, **names)']
    // The name of that has changed as well.
    expect(await chart('import warnings; warnings.simplefilter("ignore")', ...DATA, ...lying)).toMatchObject({
      x_label: 'Class',
      y_label: 'Score',
      elements: ELEMENTS,
    })
    const long = 'pd.DataFrame([("Class " + n, v) for n, d in zip("ABC", data) for v in d], columns=["Class", "Score"])'
    expect(await chart(...DATA, `import seaborn; seaborn.boxplot(${long}, x="Class", y="Score", ax=ax)`)).toMatchObject({
      elements: ELEMENTS,
    })
  })

  test('all outliers of a box, and one that has no whiskers', async () => {
    expect(await chart('plt.boxplot([[1, 2, 3, 4, 5, 20, 30, -40], [5, 5, 5]])')).toMatchObject({
      elements: [
        { label: '1', min: 1, max: 8.75, outliers: [-40, 20, 30] },
        { label: '2', min: 5, first_quartile: 5, median: 5, third_quartile: 5, max: 5, outliers: [] },
      ],
    })
  })
})

test('superchart', async () => {
  expect(
    await chart(
      'fig, axs = plt.subplots(1, 3)',
      'fig.suptitle("Multiple Charts Example")',
      'axs[0].plot([1, 2, 3]); axs[0].set_title("Line"); axs[0].grid(True)',
      'axs[1].scatter([1], [2], label="Dataset 1")',
      'axs[2].imshow([[1, 2], [3, 4]])',
    ),
  ).toEqual({
    type: 'superchart',
    title: 'Multiple Charts Example',
    elements: [
      // biome-ignore format: points are pairs.
      { ...UNSET, ...NUMBERED, type: 'line', title: 'Line', elements: [{ label: 'Line 0', points: [[0, 1], [1, 2], [2, 3]] }] },
      { ...UNSET, ...NUMBERED, type: 'scatter', elements: [{ label: 'Dataset 1', points: [[1, 2]] }] },
      { type: 'unknown', title: null, elements: [] },
    ],
  })
})

describe('unknown', () => {
  test.each([
    ['shapes', 'fig, ax = plt.subplots(); ax.add_artist(plt.Circle((0, 0), 1, fill=False))'],
    ['an image', 'plt.imshow([[1, 2], [3, 4]]); plt.colorbar()'],
    ['lines through points', 'plt.scatter([1, 2, 3], [1, 3, 2]); plt.plot([1, 2, 3], [1, 2, 3])'],
    ['violins', 'plt.violinplot([[1, 2, 3, 4], [2, 3, 4, 9]])'],
    ['space', 'plt.figure().add_subplot(projection="3d").plot([1, 2], [1, 2], [1, 2])'],
    ['more points than are told', 'plt.plot(range(300_000))'],
    ['what cannot be read', 'line, = plt.plot([1, 2, 3]); line.get_xdata = None'],
  ])('%s', async (_what, code) => {
    expect(await chart(code, 'plt.title("T")')).toEqual({ type: 'unknown', title: 'T', elements: [] })
  })

  test('axes without data are those of a chart of no lines; without axes there is none', async () => {
    expect(await chart('plt.subplots()')).toEqual({ ...UNSET, ...NUMBERED, type: 'line', elements: [] })
    const failed = 'try: plt.plot([datetime.date(2023, 9, 1)], [1, 2])\nexcept ValueError: pass'
    expect(await chart(failed)).toMatchObject({ type: 'line', x_scale: 'datetime', y_scale: 'linear', elements: [] })
    expect(await chart('plt.figure().text(0.5, 0.5, "words")')).toBeUndefined()
  })
})
