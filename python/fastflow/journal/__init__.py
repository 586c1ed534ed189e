"""Where durable executions are kept: records, values, and the two stores."""
