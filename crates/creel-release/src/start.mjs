// Starts the gateway, waits until it says that it has started, and stops it again.
// Ends with 0 when it had started, 3 when it had not by the deadline, 4 when the gateway ended by itself.
import { spawn } from "node:child_process";

const [port, deadlineMs, ...argv] = process.argv.slice(1);
const deadline = Date.now() + Number(deadlineMs);
const gateway = spawn(argv[0], argv.slice(1), { stdio: ["ignore", 2, 2] });
const ended = new Promise((resolve) => gateway.once("exit", resolve));
let isRunning = true;
ended.then(() => { isRunning = false; });

// Releases before 2026.8 answer unknown paths with a page: only JSON of the right shape counts.
async function answer(path) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2000) });
    return await response.json();
  } catch {
    return {};
  }
}

async function hasStarted() {
  return (await answer("/startupz")).status === "started" || (await answer("/readyz")).ready === true;
}

while (isRunning && Date.now() < deadline) {
  if (await hasStarted()) {
    gateway.kill("SIGTERM");
    const last = setTimeout(() => gateway.kill("SIGKILL"), 30_000);
    await ended;
    clearTimeout(last);
    process.exit(0);
  }
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 100))]);
}
process.exit(isRunning ? 3 : 4);
