/*
 * house: one installation of Chatello with the scripted upstream as its
 * providers, in a temporary folder, from the programs of one build
 * (SDK_BUILD, its folder). Nothing waits but for a line, an answer or an exit.
 */
'use strict';

const {execFile, spawn} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const {promisify} = require('node:util');

const OUTPUT_BYTES_MAX = 1 << 28;
const BUILD = path.resolve(process.env.SDK_BUILD || 'build/release');

/* What a provider knows us by; no client may ever see one. */
const CANARIES = {
  openai: 'sk-openai-canary-7f3a91',
  deepseek: 'sk-deepseek-canary-55be20',
  anthropic: 'sk-anthropic-canary-c01d77',
};

const MODELS = {
  openai: 'gpt-test',
  deepseek: 'deepseek-test',
  anthropic: 'claude-test',
  demo: 'demo',
};

/* Starts a program that dies with this one; its first line of output, too. */
async function startProgram(name, args, env, log) {
  const child = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', path.join(BUILD, name), ...args],
      {env, stdio: ['ignore', 'pipe', fs.openSync(log, 'a')]},
  );
  const exit = new Promise((resolve) => child.on('close', resolve));
  const line = new Promise((resolve, reject) => {
    readline.createInterface(child.stdout).once('line', resolve);
    child.on('error', reject);
    child.on(
        'close',
        (code) => reject(new Error(
            `${name} ended with ${code}: ` + fs.readFileSync(log, 'utf8'))));
  });
  return {child, exit, ready: await line};
}

class House {
  /* providers: the names of those that are switched on. */
  static async start(providers, settings = {}) {
    const house = new House();

    house.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sdk-'));
    house.log = path.join(house.folder, 'up.log');
    house.licences = 0;
    house.env = {
      PATH: process.env.PATH,
      CHATELLO_DATA: path.join(house.folder, 'data'),
      CHATELLO_PUBLIC: '127.0.0.1:0',
      CHATELLO_ADMIN: '127.0.0.1:0',
      CHATELLO_INTERNAL: '127.0.0.1:0',
      ...settings,
    };
    await house.startUpstream(providers);
    await house.tool('init');
    await house.sell(providers);
    house.up = await startProgram('chatello', ['up'], house.env, house.log);
    house.url = /public=(\S+)/.exec(house.up.ready)[1];
    return house;
  }

  async startUpstream(providers) {
    const paths = {
      openai: '/v1',
      deepseek: '/deepseek',
      anthropic: '/anthropic'
    };

    this.upstream = await startProgram(
        'upstream', [], this.env, path.join(this.folder, 'upstream.log'));
    this.upstreamUrl = 'http://127.0.0.1:' +
        /port=(\d+)/.exec(this.upstream.ready)[1];
    for (const name of providers) {
      const prefix = name.toUpperCase();

      this.env[`${prefix}_API_KEY`] = CANARIES[name];
      this.env[`${prefix}_BASE_URL`] = this.upstreamUrl + paths[name];
    }
  }

  /* Prices, and the plans that the cases know. */
  async sell(providers) {
    const plan = (code, ...options) => this.tool(
        'plan', 'set', code, '--name', code, '--price-month', '9.00',
        ...options);

    for (const name of providers)
      await this.tool(
          'price', 'set', name, MODELS[name], '--input', '1', '--output', '2',
          '--cache-read', '0.5', '--per-request', '0.005');
    await plan(
        'big', '--feature', 'ai_proxy', '--limit', 'requests_month=none',
        '--limit', 'requests_hour=100000');
    await plan(
        'hourly', '--feature', 'ai_proxy', '--limit', 'requests_month=none',
        '--limit', 'requests_hour=1');
    await plan(
        'monthly', '--feature', 'ai_proxy', '--limit', 'requests_month=1',
        '--limit', 'requests_hour=none');
    await plan('bare', '--feature', 'none');
  }

  /* What a command of ours prints. */
  async run(...args) {
    const {stdout} = await promisify(execFile)(
        path.join(BUILD, 'chatello'), args,
        {env: this.env, maxBuffer: OUTPUT_BYTES_MAX});

    return stdout;
  }

  async tool(...args) {
    return JSON.parse(await this.run(...args, '--json'));
  }

  /* A new licence: {license_id, license_key}. */
  licence(plan, domain) {
    return this.tool(
        'license', 'issue', '--email', `owner${++this.licences}@shop.example`,
        '--plan', plan, ...(domain ? ['--domain', domain] : []));
  }

  /* Every line of the ledger. */
  async ledger() {
    const lines = await this.run('usage', 'export', '--format', 'jsonl');

    return lines.split('\n').filter(Boolean).map(JSON.parse);
  }

  /* The upstream's counters and last request. */
  async counts(path = '/count') {
    const answer = await fetch(this.upstreamUrl + path);

    return answer.json();
  }

  /* The same, as soon as a counter has reached n. */
  waitFor(counter, n) {
    return this.counts(`/wait/${counter}/${n}`);
  }

  /* SIGTERM; the exit code behind the drain. */
  async stop() {
    this.up.child.kill('SIGTERM');
    return this.up.exit;
  }

  async remove() {
    this.up?.child.kill('SIGKILL');
    this.upstream?.child.kill('SIGKILL');
    await Promise.all([this.up?.exit, this.upstream?.exit]);
    fs.rmSync(this.folder, {recursive: true});
  }
}

module.exports = {
  House,
  CANARIES,
  MODELS
};
