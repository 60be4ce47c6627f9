// The kinds of sinks. A new kind is one file and one line here.
export { file } from './file.ts'
export { otlp } from './otlp.ts'
export { stdout } from './stdout.ts'
export { syslog } from './syslog.ts'
export { webhook } from './webhook.ts'
