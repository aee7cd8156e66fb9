# What the module refuses, and what it warns of.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  bootstrap_servers = "broker-1.example.com:9092,broker-2.example.com:9092"
  image             = "registry.example.com/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cluster_arn       = "arn:aws:ecs:eu-central-1:123456789012:cluster/main"
  subnet_ids        = ["subnet-1"]
}

run "name_with_capitals" {
  command = plan

  variables {
    name = "Orders"
  }

  expect_failures = [var.name]
}

run "source_with_a_query" {
  command = plan

  variables {
    subscription = { source = "kafka://my-cluster/orders?x=1", sink = "https://billing.example.com/orders" }
  }

  expect_failures = [var.subscription]
}

run "sink_of_another_kind" {
  command = plan

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "ftp://billing.example.com" }
  }

  expect_failures = [var.subscription]
}

run "secret_among_the_options" {
  command = plan

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "https://billing.example.com/orders", options = { "sasl.password" = "s3cret" } }
  }

  expect_failures = [var.subscription]
}

run "brokers_with_a_scheme" {
  command = plan

  variables {
    bootstrap_servers = "PLAINTEXT://broker:9092"
  }

  expect_failures = [var.bootstrap_servers]
}

run "stop_on_failure" {
  command = plan

  variables {
    on_failure = "stop"
  }

  expect_failures = [var.on_failure]
}

run "two_dead_letter_targets" {
  command = plan

  variables {
    dead_letter = { topic = "dead", url = "https://dead.example.com" }
  }

  expect_failures = [var.dead_letter]
}

run "env_over_an_input" {
  command = plan

  variables {
    env = { SUBSCRIPTION_ID = "other" }
  }

  expect_failures = [var.env]
}

run "secret_in_env" {
  command = plan

  variables {
    env = { KAFKA_OPTION_SASL_PASSWORD = "s3cret" }
  }

  expect_failures = [var.env]
}

run "headers_in_env" {
  command = plan

  variables {
    env = { HANDLER_HEADERS = "authorization: Bearer s3cret" }
  }

  expect_failures = [var.env]
}

run "clusters_with_a_password_in_env" {
  command = plan

  variables {
    bootstrap_servers = null
    env               = { KAFKA_CLUSTERS = "[{name=\"my-cluster\",brokers=[\"b:9092\"],\"sasl.password\"=\"s3cret\"}]" }
  }

  expect_failures = [var.env]
}

run "cluster_by_name" {
  command = plan

  variables {
    cluster_arn = "main"
  }

  expect_failures = [var.cluster_arn]
}

run "no_subnets" {
  command = plan

  variables {
    subnet_ids = []
  }

  expect_failures = [var.subnet_ids]
}

run "secret_by_value" {
  command = plan

  variables {
    secrets = { HANDLER_HEADERS = "authorization: Bearer s3cret" }
  }

  expect_failures = [var.secrets]
}

run "secret_over_an_input" {
  command = plan

  variables {
    secrets = { SUBSCRIPTION_ID = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf" }
  }

  expect_failures = [var.secrets]
}

run "handler_secret_by_value" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/" }
    handler_container = { image = "billing", secrets = { TOKEN = "s3cret" } }
  }

  expect_failures = [var.handler_container]
}

run "handler_that_nobody_calls" {
  command = plan

  variables {
    handler_container = { image = "billing" }
  }

  expect_failures = [var.handler_container]
}

run "loopback_without_a_handler" {
  command = plan

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
  }

  expect_failures = [var.handler_container]
}

run "health_check_without_cmd" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/" }
    handler_container = { image = "billing", health_check = { command = ["/health"] } }
  }

  expect_failures = [var.handler_container]
}

run "handler_that_stops_for_too_long" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/" }
    handler_container = { image = "billing", stop_timeout = 121 }
  }

  expect_failures = [var.handler_container]
}

run "drain_longer_than_ecs_waits" {
  command = plan

  variables {
    shutdown_timeout = 116
  }

  expect_failures = [var.shutdown_timeout]
}

run "architecture_that_fargate_lacks" {
  command = plan

  variables {
    cpu_architecture = "RISCV"
  }

  expect_failures = [var.cpu_architecture]
}

run "two_bases" {
  command = plan

  variables {
    capacity_providers = [{ provider = "FARGATE", base = 1 }, { provider = "FARGATE_SPOT", base = 1 }]
  }

  expect_failures = [var.capacity_providers]
}

run "deployment_that_cannot_replace" {
  command = plan

  variables {
    deployment = { min_percent = 100, max_percent = 100 }
  }

  expect_failures = [var.deployment]
}

run "max_below_min" {
  command = plan

  variables {
    scaling = { min = 3, max = 2 }
  }

  expect_failures = [var.scaling]
}

run "range_without_a_target" {
  command = plan

  variables {
    scaling = { min = 1, max = 2 }
  }

  expect_failures = [var.scaling]
}

run "target_without_a_range" {
  command = plan

  variables {
    scaling = { min = 2, target_lag = 100 }
  }

  expect_failures = [var.scaling]
}

run "scaling_from_nothing" {
  command = plan

  variables {
    scaling = { min = 0, max = 2, target_lag = 100 }
  }

  expect_failures = [var.scaling]
}

run "more_tasks_than_partitions" {
  command = plan

  variables {
    scaling = { min = 1, max = 7, target_lag = 100, partitions = 6 }
  }

  expect_failures = [var.scaling]
}

run "schedule_of_another_form" {
  command = plan

  variables {
    schedule = { expression = "0 3 * * *", end_at = "latest" }
  }

  expect_failures = [var.schedule]
}

run "schedule_with_scaling" {
  command = plan

  variables {
    schedule = { expression = "rate(1 hour)", end_at = "latest" }
    scaling  = { min = 2 }
  }

  expect_failures = [var.schedule]
}

run "msk_by_name" {
  command = plan

  variables {
    msk = { cluster_arn = "main" }
  }

  expect_failures = [var.msk]
}

run "msk_iam_with_sasl_options" {
  command = plan

  variables {
    msk          = { cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", iam = true }
    subscription = { source = "kafka://my-cluster/orders", sink = "https://billing.example.com/orders", options = { "sasl.mechanism" = "PLAIN" } }
  }

  expect_failures = [var.msk]
}

run "policies_for_a_role_of_the_caller" {
  command = plan

  variables {
    task_role_arn    = "arn:aws:iam::123456789012:role/mine"
    task_policy_arns = { s3 = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" }
  }

  expect_failures = [var.task_policy_arns]
}

run "admin_off" {
  command = plan

  variables {
    env = { ADMIN_ADDR = "off" }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "group_in_env" {
  command = plan

  variables {
    env = { KAFKA_OPTION_GROUP_ID = "other" }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "end_of_a_service" {
  command = plan

  variables {
    env = { END_AT = "latest" }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "drain_that_ecs_does_not_know" {
  command = plan

  variables {
    env = { SHUTDOWN_TIMEOUT = "60s" }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "image_by_tag" {
  command = plan

  variables {
    image = "registry.example.com/kafka-sidecar:1"
  }

  expect_failures = [check.image_is_pinned]
}
