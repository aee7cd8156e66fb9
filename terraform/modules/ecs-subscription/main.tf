# One subscription as an ECS service, or as a task that is started on a schedule.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  secret_arn = "^arn:aws[a-z-]*:(secretsmanager:[^:]+:[0-9]+:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?|ssm:[^:]+:[0-9]+:parameter/.+)$"

  # What the containers of a task call each other by. service:// sinks are called at handler.url.
  calls_loopback = can(regex("^https?://(localhost|127\\.0\\.0\\.1|\\[::1\\])([:/]|$)", coalesce(var.handler.url, var.subscription.sink)))

  cluster_name = element(split("/", var.cluster_arn), 1)
  max_tasks    = coalesce(var.scaling.max, var.scaling.min)
  msk_iam      = try(var.msk.iam, false)

  # The group as the brokers know it.
  group = try(var.subscription.options["group.id"], var.name)
  topic = element(split("/", var.subscription.source), 3)

  platform = {
    SHUTDOWN_TIMEOUT               = var.shutdown_timeout == null ? null : "${var.shutdown_timeout}s"
    END_AT                         = try(var.schedule.end_at, null)
    METRICS_EMF                    = local.own_metrics ? "true" : null
    METRICS_EMF_NAMESPACE          = local.own_metrics ? var.metrics_namespace : null
    KAFKA_OPTION_SECURITY_PROTOCOL = local.msk_iam ? "sasl_ssl" : null
    KAFKA_OPTION_SASL_MECHANISM    = local.msk_iam ? "AWS_MSK_IAM" : null
  }

  log_configuration = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = data.aws_region.current.id
      awslogs-stream-prefix = "ecs"
      # An outage of CloudWatch must not hold up deliveries.
      mode            = "non-blocking"
      max-buffer-size = "4m"
    }
  }

  sidecar_container = {
    name                   = "kafka-sidecar"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets                = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]
    # ECS does not look at the image's HEALTHCHECK. /live is the process itself: neither broker nor handler being down restarts a task.
    healthCheck = { command = ["CMD", "/kafka-sidecar", "healthcheck"], interval = 10, timeout = 5, retries = 3, startPeriod = 60 }
    # Starts after the handler, and is stopped before it: what runs at SIGTERM still finds its handler.
    dependsOn        = var.handler_container == null ? null : [{ containerName = "handler", condition = var.handler_container.health_check == null ? "START" : "HEALTHY" }]
    stopTimeout      = var.shutdown_timeout == null ? null : var.shutdown_timeout + 5
    logConfiguration = local.log_configuration
  }

  handler_container = var.handler_container == null ? null : {
    name                   = "handler"
    image                  = var.handler_container.image
    essential              = true
    command                = var.handler_container.command
    cpu                    = var.handler_container.cpu
    memory                 = var.handler_container.memory
    user                   = var.handler_container.user
    readonlyRootFilesystem = var.handler_container.readonly_root_filesystem
    environment            = [for name in sort(keys(var.handler_container.environment)) : { name = name, value = var.handler_container.environment[name] }]
    secrets                = [for name in sort(keys(var.handler_container.secrets)) : { name = name, valueFrom = var.handler_container.secrets[name] }]
    healthCheck = var.handler_container.health_check == null ? null : { for field, value in {
      command     = var.handler_container.health_check.command
      interval    = var.handler_container.health_check.interval
      timeout     = var.handler_container.health_check.timeout
      retries     = var.handler_container.health_check.retries
      startPeriod = var.handler_container.health_check.start_period
    } : field => value if value != null }
    stopTimeout      = var.handler_container.stop_timeout
    logConfiguration = local.log_configuration
  }

  # ECS takes a field that is there as set, so what was left out has to be left out here, too.
  containers = [
    for container in [local.sidecar_container, local.handler_container] :
    { for field, value in container : field => value if value != null } if container != null
  ]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/kafka-sidecar/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = local.execution_role_arn
  task_role_arn            = local.task_role_arn
  container_definitions    = jsonencode(local.containers)
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  lifecycle {
    precondition {
      condition     = lookup(var.env, "ADMIN_ADDR", "") != "off"
      error_message = "env must not turn ADMIN_ADDR off: the container's health check asks it."
    }
    precondition {
      condition     = !contains(keys(var.env), "KAFKA_OPTION_GROUP_ID")
      error_message = "env must not set the group, which policies and alarms name: give subscription.options the group.id."
    }
    precondition {
      condition     = !contains(keys(var.env), "END_AT")
      error_message = "env must not set END_AT: a service starts an ended task anew. Use schedule."
    }
    precondition {
      condition     = !contains(keys(var.env), "SHUTDOWN_TIMEOUT")
      error_message = "env must not set SHUTDOWN_TIMEOUT: give shutdown_timeout, with which ECS waits for as long."
    }
  }
}

resource "aws_ecs_service" "this" {
  count = var.schedule == null ? 1 : 0

  name                  = var.name
  cluster               = var.cluster_arn
  task_definition       = aws_ecs_task_definition.this.arn
  desired_count         = var.scaling.min
  propagate_tags        = "SERVICE"
  wait_for_steady_state = var.wait_for_steady_state
  tags                  = var.tags

  # Joining before leaving costs the group milliseconds, since a hand-over leaves the partitions alone that stay; leaving first would
  # stop deliveries for as long as a task takes to start.
  deployment_minimum_healthy_percent = var.deployment.min_percent
  deployment_maximum_percent         = var.deployment.max_percent

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "capacity_provider_strategy" {
    for_each = var.capacity_providers
    content {
      capacity_provider = capacity_provider_strategy.value.provider
      weight            = capacity_provider_strategy.value.weight
      base              = capacity_provider_strategy.value.base
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = var.assign_public_ip
  }

  lifecycle {
    # Application Auto Scaling sets the number of tasks, also a fixed one: see scaling.tf.
    ignore_changes = [desired_count]
  }
}

check "image_is_pinned" {
  assert {
    condition     = strcontains(var.image, "@sha256:")
    error_message = "image is not pinned by digest: a tag that moves makes replicas differ."
  }
}
