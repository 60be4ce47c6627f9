import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'
import { finish, step } from './steps.mjs'

const sandbox = await Sandbox.create({ timeoutMs: 180_000 })

/** The chart of what the code shows. */
async function chart(code) {
  const { results, error } = await sandbox.runCode(`import matplotlib.pyplot as plt\nimport numpy as np\n${code}\nplt.show()`)
  assert.equal(error, undefined)
  assert.equal(results.length, 1)
  assert.ok(results[0].png)
  return results[0].chart
}

const numbers = (list) => list.every((one) => typeof one === 'number')
const texts = (list) => list.every((one) => typeof one === 'string')

await step('line', async () => {
  const found = await chart(`x = np.linspace(0, 2 * np.pi, 100)
plt.figure(figsize=(10, 6))
plt.plot(x, np.sin(x), label='sin(x)')
plt.plot(x, np.cos(x), label='cos(x)')
plt.xlabel('Time (s)')
plt.ylabel('Amplitude (Hz)')
plt.title('Plot of sin(x) and cos(x)')`)
  const { elements, x_ticks, y_ticks, x_tick_labels, y_tick_labels, ...rest } = found
  assert.deepEqual(rest, {
    type: 'line',
    title: 'Plot of sin(x) and cos(x)',
    x_label: 'Time (s)',
    y_label: 'Amplitude (Hz)',
    x_unit: 's',
    y_unit: 'Hz',
    x_scale: 'linear',
    y_scale: 'linear',
  })
  assert.ok(numbers(x_ticks) && numbers(y_ticks) && texts(x_tick_labels) && texts(y_tick_labels))
  assert.deepEqual(
    elements.map((line) => line.label),
    ['sin(x)', 'cos(x)'],
  )
  for (const line of elements) assert.ok(line.points.length === 100 && line.points.every(numbers))
})

await step('scatter, without a title', async () => {
  const found = await chart(`plt.xlabel('A')
plt.ylabel('B')
plt.scatter(np.random.rand(5), np.random.rand(5), c='blue', label='Dataset 1')
plt.scatter(np.random.rand(10), np.random.rand(10), c='red', label='Dataset 2')`)
  assert.deepEqual([found.type, found.title, found.x_label, found.y_label], ['scatter', null, 'A', 'B'])
  assert.ok(numbers(found.x_ticks) && texts(found.y_tick_labels))
  assert.deepEqual(
    found.elements.map((set) => [set.label, set.points.length]),
    [
      ['Dataset 1', 5],
      ['Dataset 2', 10],
    ],
  )
})

await step('bar', async () => {
  const found = await chart(`plt.bar(['Author A', 'Author B', 'Author C', 'Author D'], [100, 200, 300, 400])
plt.xlabel('Authors')
plt.ylabel('Number of Books Sold')
plt.title('Book Sales by Authors')
plt.tight_layout()`)
  const { elements, ...rest } = found
  assert.deepEqual(rest, {
    type: 'bar',
    title: 'Book Sales by Authors',
    x_label: 'Authors',
    y_label: 'Number of Books Sold',
    x_unit: null,
    y_unit: null,
  })
  assert.deepEqual(
    elements.map((bar) => [bar.label, bar.value]),
    [
      ['Author A', 100],
      ['Author B', 200],
      ['Author C', 300],
      ['Author D', 400],
    ],
  )
})

await step('pie', async () => {
  const found = await chart(`fig, ax = plt.subplots(figsize=(8, 8))
plt.xlabel('x')
plt.ylabel('y')
ax.pie([90, 10], labels=['No', 'No, in blue'], autopct='%1.1f%%', startangle=90)
ax.axis('equal')
plt.title('Will I wake up early tomorrow?')`)
  assert.deepEqual([found.type, found.title], ['pie', 'Will I wake up early tomorrow?'])
  assert.deepEqual(
    found.elements.map((part) => [part.label, part.angle, part.radius]),
    [
      ['No', 324, 1],
      ['No, in blue', 36, 1],
    ],
  )
})

await step('box and whisker, drawn twice', async () => {
  const found = await chart(`data = {'Class A': [85, 90, 78, 92, 88], 'Class B': [95, 89, 76, 91, 84, 87], 'Class C': [75, 82, 88, 79, 86]}
fig, ax = plt.subplots(figsize=(10, 6))
ax.boxplot(data.values(), labels=data.keys())
ax.set_title('Exam Scores Distribution')
ax.set_xlabel('Class')
ax.set_ylabel('Score')
ax.boxplot(data.values(), labels=data.keys(), patch_artist=True)
ax.legend()
plt.tight_layout()`)
  const { elements, ...rest } = found
  assert.deepEqual(rest, {
    type: 'box_and_whisker',
    title: 'Exam Scores Distribution',
    x_label: 'Class',
    y_label: 'Score',
    x_unit: null,
    y_unit: null,
  })
  assert.deepEqual(
    elements.map((box) => box.label),
    ['Class A', 'Class B', 'Class C'],
  )
  for (const box of elements) {
    const five = [box.min, box.first_quartile, box.median, box.third_quartile, box.max]
    assert.ok(numbers(five))
    assert.deepEqual(
      five,
      [...five].sort((a, b) => a - b),
    )
  }
  assert.equal(elements[0].median, 88)
})

await step('several axes', async () => {
  const found = await chart(`fig, axs = plt.subplots(1, 2, figsize=(10, 8))
fig.suptitle('Multiple Charts Example', fontsize=16)
x = np.linspace(0, 10, 100)
axs[0].plot(x, np.sin(x), 'r')
axs[0].set_title('Sine Wave')
axs[1].scatter(np.random.rand(5), np.random.rand(5), c='blue', label='Dataset 1')
axs[1].set_xlabel('X')
axs[1].set_ylabel('Y')
axs[1].set_title('Scatter Plot')`)
  assert.deepEqual([found.type, found.title], ['superchart', 'Multiple Charts Example'])
  const [line, scatter] = found.elements
  assert.deepEqual(
    [line.type, line.title, line.x_label, line.y_label, line.elements[0].points.length],
    ['line', 'Sine Wave', null, null, 100],
  )
  assert.deepEqual([scatter.type, scatter.x_label, scatter.elements[0].points.length], ['scatter', 'X', 5])
})

await step('scales: dates, categories, logarithms', async () => {
  const dates = await chart(`import datetime
days = [datetime.date(2023, 9, 1) + datetime.timedelta(days=i) for i in range(10)]
plt.plot(days, np.arange(10))`)
  assert.deepEqual([dates.x_scale, dates.y_scale], ['datetime', 'linear'])
  assert.match(dates.elements[0].points[0][0], /^2023-09-01/)
  const categories = await chart("plt.plot([1, 2, 3], ['A', 'B', 'C'])")
  assert.deepEqual([categories.x_scale, categories.y_scale], ['linear', 'categorical'])
  const logarithms = await chart("plt.plot([1, 10, 100], [1, 2, 3])\nplt.xscale('log')\nplt.yscale('symlog')")
  assert.deepEqual([logarithms.x_scale, logarithms.y_scale], ['log', 'symlog'])
})

await step('what is no known chart', async () => {
  const found = await chart(`fig, ax = plt.subplots()
ax.add_artist(plt.Circle((0, 0), 1, fill=False))
ax.add_artist(plt.Circle((0, 0), 2, fill=False))
plt.title('Two Concentric Circles')`)
  assert.deepEqual([found.type, found.title, found.elements], ['unknown', 'Two Concentric Circles', []])
})

await step('a figure without show comes once', async () => {
  const { results } = await sandbox.runCode('import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])')
  assert.equal(results.filter((result) => result.png).length, 1)
})

await sandbox.kill()
finish()
