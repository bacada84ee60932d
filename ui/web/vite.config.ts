import { rmSync } from 'node:fs'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, type Plugin } from 'vite'

/** Where `npm run dev` finds a running Vamp. */
const server = process.env['VAMP_URL'] ?? 'http://127.0.0.1:8090'

/** Empties `dist` but for the file that keeps it out of the repository. */
function clean(): Plugin {
  return {
    name: 'clean',
    apply: 'build',
    buildStart: () => rmSync(new URL('../dist/assets', import.meta.url), { recursive: true, force: true }),
  }
}

export default defineConfig({
  plugins: [clean(), svelte()],
  build: {
    outDir: '../dist',
    emptyOutDir: false,
    target: 'es2022',
    // The policy of the page allows no inline code, styles or data.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: 'assets/licenses.md' },
  },
  server: {
    proxy: { '^(/[^/]+)?/api/': server, '/openapi.json': server },
  },
})
