import { defineConfig } from 'vitest/config'

// One browser, one test at a time: what is measured is the UI, not the machine.
export default defineConfig({
  test: {
    include: ['e2e/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
