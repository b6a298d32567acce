import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError } from '../config/load.ts';
import { openServedModels } from './served-models.ts';

const none = { PRICES_FILE: null, MODELS: [], DEFAULT_MODEL: null };
function problemsOf(config: Partial<{ PRICES_FILE: string; MODELS: string[]; DEFAULT_MODEL: string }>): string[] {
  try {
    openServedModels({ ...none, ...config });
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map((problem) => /^\w+: ("[^"]*")?/.exec(problem)![0]);
  }
}

describe('the models served', () => {
  test('are those of the book, narrowed by MODELS; the default is one of them', () => {
    assert.ok(openServedModels(none).models.length > 3);
    const { models, defaultModel } = openServedModels({ ...none, MODELS: ['gemini-2.5-flash'] });
    assert.deepEqual([models.map(({ model }) => model), defaultModel], [['gemini-2.5-flash'], 'gemini-2.5-flash']);
  });

  test('are judged beside a price file that cannot be read: all that is wrong is told at once', () => {
    const wrong = {
      PRICES_FILE: '/nowhere/prices.json',
      MODELS: ['gemini-2.5-flash', 'gpt-9'],
      DEFAULT_MODEL: 'gpt-8',
    };
    assert.deepEqual(problemsOf(wrong), ['PRICES_FILE: ', 'MODELS: "gpt-9"', 'DEFAULT_MODEL: "gpt-8"']);
  });

  test('of which none is known want no default to be told of as well', () => {
    assert.deepEqual(problemsOf({ MODELS: ['gpt-9'] }), ['MODELS: "gpt-9"']);
  });
});
