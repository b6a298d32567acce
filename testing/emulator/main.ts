/** The emulator alone: `node testing/emulator/main.ts [PORT]` */
import { startEmulator } from './emulator.ts';

const emulator = await startEmulator({ port: Number(process.argv[2] ?? 0) });
console.log(`Gemini emulator on ${emulator.url} (GEMINI_BASE_URL); any API key will do`);
