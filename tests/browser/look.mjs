// look.mjs BROWSER DIRECTORY < JOBS: opens pages as people do, and says what was found.
//
// JOBS is a JSON list of {url, name}. Each page is opened on a desktop, on a phone, in the dark and
// for the printer; a picture of each goes to DIRECTORY/NAME-FORM.png (and the paper to .pdf). The
// answer is JSON: {NAME-FORM: {violations, requests, complaints, overflow, ...}}.
import axe from 'axe-core'
import fs from 'node:fs'
import { chromium } from 'playwright-core'

const [browserPath, directory] = process.argv.slice(2)
const jobs = JSON.parse(fs.readFileSync(0, 'utf8'))

const DESKTOP = { width: 1280, height: 900 }
const FORMS = {
  desktop: { viewport: DESKTOP, colorScheme: 'light' },
  dark: { viewport: DESKTOP, colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 740 }, colorScheme: 'light', isMobile: true },
  print: { viewport: DESKTOP, colorScheme: 'light' }
}
const PICTURE_HEIGHT = 6000

async function look (browser, form, { url, name }) {
  const context = await browser.newContext(FORMS[form])
  const page = await context.newPage()
  const found = { requests: [], complaints: [] }
  page.on('request', (request) => found.requests.push(request.url()))
  page.on('console', (message) => found.complaints.push(message.text()))
  page.on('pageerror', (error) => found.complaints.push(String(error)))
  await page.goto(url)
  if (form === 'print') {
    await page.emulateMedia({ media: 'print' })
    const paper = `${directory}/${name}-print.pdf`
    await page.pdf({ path: paper, format: 'A4', margin: { top: '16mm', bottom: '16mm', left: '16mm', right: '16mm' } })
    found.visibleLinks = await page.evaluate(() => [...document.querySelectorAll('a[href^=http]')]
      .filter((link) => link.checkVisibility()).length)
  } else {
    const height = await page.evaluate(() => document.documentElement.scrollHeight)
    const { width } = FORMS[form].viewport
    await page.screenshot({
      path: `${directory}/${name}-${form}.png`,
      clip: { x: 0, y: 0, width, height: Math.min(height, PICTURE_HEIGHT) },
      fullPage: true
    })
    found.overflow = await page.evaluate(() =>
      document.documentElement.scrollWidth - document.documentElement.clientWidth)
    await page.evaluate(axe.source)
    const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
    found.rules = result.passes.length
    found.violations = result.violations.map((each) =>
      `${each.id}: ${each.help}: ${each.nodes.map((node) => node.html).slice(0, 3).join(' ')}`)
    // What the Tab key reaches first.
    await page.keyboard.press('Tab')
    found.firstStop = await page.evaluate(() => document.activeElement.textContent)
  }
  await context.close()
  return found
}

const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] })
const answer = {}
for (const job of jobs) {
  for (const form of job.forms ?? Object.keys(FORMS)) answer[`${job.name}-${form}`] = await look(browser, form, job)
}
await browser.close()
process.stdout.write(JSON.stringify(answer))
