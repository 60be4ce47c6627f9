import { Sandbox } from '@e2b/code-interpreter'
let t=Date.now()
const s = await Sandbox.create({timeoutMs: 60000}); console.log('create', Date.now()-t)
t=Date.now(); console.log((await s.commands.run('echo hello; whoami; pwd')).stdout, Date.now()-t)
t=Date.now(); console.log((await s.runCode('x=1; x+1')).text, Date.now()-t)
await s.files.write('/home/user/a.txt','hi'); console.log(await s.files.read('a.txt'))
for (let i=0;i<5;i++){t=performance.now(); await s.commands.run('true'); console.log('true', (performance.now()-t).toFixed(1))}
for (let i=0;i<5;i++){t=performance.now(); await s.runCode('1+1'); console.log('1+1', (performance.now()-t).toFixed(1))}
for (let i=0;i<5;i++){t=performance.now(); const z=await Sandbox.create(); const c=performance.now()-t; await z.commands.run('true'); console.log('create', c.toFixed(1), 'first', (performance.now()-t).toFixed(1)); await z.kill()}
console.log(await s.getInfo()); await s.kill()
