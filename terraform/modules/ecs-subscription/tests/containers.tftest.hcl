# What the containers of a task are.
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

run "smallest" {
  command = plan

  assert {
    condition = { for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value } == {
      KAFKA_BOOTSTRAP_SERVERS = "broker-1.example.com:9092,broker-2.example.com:9092"
      SUBSCRIPTION_ID         = "orders-to-billing"
      SUBSCRIPTION_SOURCE     = "kafka://my-cluster/orders"
      SUBSCRIPTION_SINK       = "https://billing.example.com/orders"
    }
    error_message = "What nobody asked for is rendered."
  }
  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.this.container_definitions)) == 1
    error_message = "There is more than the sidecar."
  }
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "65532:65532"
      && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
      && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    )
    error_message = "The container may more than it needs."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck.command == ["CMD", "/kafka-sidecar", "healthcheck"]
    error_message = "The health check is another command."
  }
  assert {
    condition     = !can(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout) && !can(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].dependsOn)
    error_message = "A field that was left out is there."
  }
  assert {
    condition     = aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64" && aws_ecs_task_definition.this.network_mode == "awsvpc"
    error_message = "The platform is another one."
  }
  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 30 && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].logConfiguration.options["mode"] == "non-blocking"
    error_message = "Logs are kept for ever, or hold up deliveries."
  }
  assert {
    condition = (
      aws_ecs_service.this[0].propagate_tags == "SERVICE"
      && aws_ecs_service.this[0].deployment_minimum_healthy_percent == 100
      && aws_ecs_service.this[0].deployment_maximum_percent == 200
      && aws_ecs_service.this[0].deployment_circuit_breaker[0].rollback
      && one(aws_ecs_service.this[0].capacity_provider_strategy).capacity_provider == "FARGATE"
    )
    error_message = "The service is another one."
  }
  assert {
    condition     = aws_appautoscaling_target.this[0].min_capacity == 1 && aws_appautoscaling_target.this[0].max_capacity == 1 && length(aws_appautoscaling_policy.this) == 0
    error_message = "There is more than one task."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0 && length(aws_scheduler_schedule.this) == 0 && length(aws_iam_role_policy.task) == 0
    error_message = "There is what nobody asked for."
  }
  assert {
    condition     = output.consumer_group_id == "orders-to-billing" && output.environment == tolist(["KAFKA_BOOTSTRAP_SERVERS", "SUBSCRIPTION_ID", "SUBSCRIPTION_SINK", "SUBSCRIPTION_SOURCE"])
    error_message = "The outputs are others."
  }
}

run "every_input_is_its_variable" {
  command = plan

  variables {
    subscription = {
      source  = "kafka://my-cluster/orders"
      sink    = "https://billing.example.com/orders/{key}"
      options = { "fetch.min.bytes" = "100", "group.id" = "billing" }
    }
    handler       = { timeout = "30s", content_type = "text/plain", tls_server_name = "billing", sigv4_region = "eu-central-1" }
    records       = { null_key = "empty", tombstones = "skip" }
    ordering      = "partition"
    limits        = { concurrency = 8, max_in_flight_bytes = "16MiB", rate_limit = "10/s" }
    retry         = { factor = 1.5, max_attempts = 3 }
    on_failure    = "dead-letter"
    failure_limit = "off"
    dead_letter   = { topic = "orders-dead" }
    start_at      = "-2h"
    log_level     = "warn"
    env           = { COMMIT_INTERVAL = "2s" }
  }

  assert {
    condition = { for e in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment : e.name => e.value } == {
      KAFKA_BOOTSTRAP_SERVERS = "broker-1.example.com:9092,broker-2.example.com:9092"
      SUBSCRIPTION_ID         = "orders-to-billing"
      SUBSCRIPTION_SOURCE     = "kafka://my-cluster/orders"
      SUBSCRIPTION_SINK       = "https://billing.example.com/orders/{key}"
      SUBSCRIPTION_OPTIONS    = "{\"fetch.min.bytes\":\"100\",\"group.id\":\"billing\"}"
      HANDLER_TIMEOUT         = "30s"
      HANDLER_CONTENT_TYPE    = "text/plain"
      HANDLER_TLS_SERVER_NAME = "billing"
      HANDLER_SIGV4_REGION    = "eu-central-1"
      NULL_KEY                = "empty"
      TOMBSTONES              = "skip"
      ORDERING                = "partition"
      CONCURRENCY             = "8"
      MAX_IN_FLIGHT_BYTES     = "16MiB"
      RATE_LIMIT              = "10/s"
      RETRY_FACTOR            = "1.5"
      RETRY_MAX_ATTEMPTS      = "3"
      ON_FAILURE              = "dead-letter"
      FAILURE_LIMIT           = "off"
      DEAD_LETTER_TOPIC       = "orders-dead"
      START_AT                = "-2h"
      LOG_LEVEL               = "warn"
      COMMIT_INTERVAL         = "2s"
    }
    error_message = "An input is not rendered as its variable."
  }
  assert {
    condition     = output.consumer_group_id == "billing"
    error_message = "The group is another one."
  }
}

run "drain_budget_and_five_seconds" {
  command = plan

  variables {
    shutdown_timeout = 115
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 120
    error_message = "ECS does not wait five seconds longer than the sidecar."
  }
  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, { name = "SHUTDOWN_TIMEOUT", value = "115s" })
    error_message = "SHUTDOWN_TIMEOUT is another one."
  }
}

run "handler_in_the_same_task" {
  command = plan

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
    handler_container = {
      image        = "registry.example.com/billing:1"
      environment  = { PORT = "8080" }
      secrets      = { TOKEN = "arn:aws:ssm:eu-central-1:123456789012:parameter/billing/token" }
      health_check = { command = ["CMD", "/billing", "health"], interval = 5 }
      stop_timeout = 60
    }
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].dependsOn == [{ containerName = "handler", condition = "HEALTHY" }]
    error_message = "The sidecar does not start after the handler, and stop before it."
  }
  assert {
    condition = { for k, v in jsondecode(aws_ecs_task_definition.this.container_definitions)[1] : k => v if k != "logConfiguration" } == {
      name        = "handler"
      image       = "registry.example.com/billing:1"
      essential   = true
      environment = [{ name = "PORT", value = "8080" }]
      secrets     = [{ name = "TOKEN", valueFrom = "arn:aws:ssm:eu-central-1:123456789012:parameter/billing/token" }]
      healthCheck = { command = ["CMD", "/billing", "health"], interval = 5 }
      stopTimeout = 60
    }
    error_message = "The handler's container is another one."
  }
}

run "handler_without_a_health_check" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "service://Billing/take" }
    handler           = { url = "http://127.0.0.1:8080" }
    handler_container = { image = "registry.example.com/billing:1" }
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].dependsOn == [{ containerName = "handler", condition = "START" }]
    error_message = "The sidecar waits for a health check that is not there."
  }
}

run "spot" {
  command = plan

  variables {
    capacity_providers = [{ provider = "FARGATE", base = 1, weight = 0 }, { provider = "FARGATE_SPOT" }]
  }

  assert {
    condition     = length([for c in aws_ecs_service.this[0].capacity_provider_strategy : c if c.capacity_provider == "FARGATE_SPOT" && c.weight == 1]) == 1
    error_message = "No task runs on Spot."
  }
}
