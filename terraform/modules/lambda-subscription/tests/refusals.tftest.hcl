# What the module refuses.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  kafka   = { msk_cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", auth = "iam" }
  package = { s3_bucket = "releases", s3_key = "kafka-sidecar.zip" }
}

run "no_cluster" {
  command = plan

  variables {
    kafka = {}
  }

  expect_failures = [var.kafka]
}

run "two_clusters" {
  command = plan

  variables {
    bootstrap_servers = "broker:9092"
  }

  expect_failures = [var.kafka]
}

run "unknown_auth" {
  command = plan

  variables {
    kafka             = { auth = "plain", secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf" }
    bootstrap_servers = "broker:9092"
  }

  expect_failures = [var.kafka]
}

run "auth_that_msk_does_not_know" {
  command = plan

  variables {
    kafka = { msk_cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", auth = "BASIC_AUTH", secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf" }
  }

  expect_failures = [var.kafka]
}

run "auth_without_a_secret" {
  command = plan

  variables {
    kafka             = { auth = "BASIC_AUTH" }
    bootstrap_servers = "broker:9092"
  }

  expect_failures = [var.kafka]
}

run "secret_by_value" {
  command = plan

  variables {
    kafka             = { auth = "BASIC_AUTH", secret_arn = "s3cret" }
    bootstrap_servers = "broker:9092"
  }

  expect_failures = [var.kafka]
}

run "iam_elsewhere" {
  command = plan

  variables {
    kafka             = { auth = "iam" }
    bootstrap_servers = "broker:9092"
  }

  expect_failures = [var.kafka]
}

run "dead_letters_that_need_a_secret" {
  command = plan

  variables {
    kafka             = { msk_cluster_arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/main/0f0f-1", auth = "SASL_SCRAM_512_AUTH", secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf" }
    bootstrap_servers = "broker:9096"
    dead_letter       = { topic = "dead" }
  }

  expect_failures = [var.kafka]
}

run "no_package" {
  command = plan

  variables {
    package = {}
  }

  expect_failures = [var.package]
}

run "age_without_msk" {
  command = plan

  variables {
    kafka             = {}
    bootstrap_servers = "broker:9092"
    alarms            = { actions = [], age_seconds = 1 }
  }

  expect_failures = [var.alarms]
}

run "architecture" {
  command = plan

  variables {
    architecture = "ARM64"
  }

  expect_failures = [var.architecture]
}

run "batch_of_nothing" {
  command = plan

  variables {
    batch = { size = 0 }
  }

  expect_failures = [var.batch]
}

run "no_pollers" {
  command = plan

  variables {
    pollers = { min = 0 }
  }

  expect_failures = [var.pollers]
}

run "more_pollers_than_lambda_has" {
  command = plan

  variables {
    pollers = { min = 201, max = 300 }
  }

  expect_failures = [var.pollers]
}

run "secret_with_a_field" {
  command = plan

  variables {
    kafka             = { auth = "BASIC_AUTH", secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-AbCdEf:password::" }
    bootstrap_servers = "broker:9092"
  }

  expect_failures = [var.kafka]
}

run "timeout_beyond_the_pollers" {
  command = plan

  variables {
    timeout = 900
  }

  expect_failures = [var.timeout]
}

run "secret_in_env" {
  command = plan

  variables {
    env = { HANDLER_HEADERS = "authorization: Bearer s3cret" }
  }

  expect_failures = [var.env]
}

run "partial_batch_off" {
  command = plan

  variables {
    env = { LAMBDA_PARTIAL_BATCH = "false" }
  }

  expect_failures = [var.env]
}

run "bounds_of_a_consumer" {
  command = plan

  variables {
    limits = { max_in_flight = 100 }
  }

  expect_failures = [aws_lambda_function.this]
}

run "end_of_a_function" {
  command = plan

  variables {
    env = { END_AT = "latest" }
  }

  expect_failures = [aws_lambda_function.this]
}

run "auth_that_needs_a_secret" {
  command = plan

  variables {
    handler = { auth = "bearer" }
  }

  expect_failures = [aws_lambda_function.this]
}

run "group" {
  command = plan

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "https://billing.example.com", options = { "group.id" = "x" } }
  }

  expect_failures = [aws_lambda_function.this]
}

run "start_at_an_age" {
  command = plan

  variables {
    start_at = "-2h"
  }

  expect_failures = [aws_lambda_function.this]
}
