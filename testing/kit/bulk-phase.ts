/** SQL for a database's owner: the tables of version 1, empty and as at the beginning of a rebuild's bulk phase. */
export const BEGIN_BULK_PHASE = `
  SELECT drop_prompts_tables_v1(1);
  SELECT create_prompts_tables_v4(1, true);
  UPDATE projection_version SET up_since = note_up_v1();`;
