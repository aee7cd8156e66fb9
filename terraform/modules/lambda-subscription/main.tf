# One subscription as a Lambda function behind an event source mapping of Kafka.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  topic = element(split("/", var.subscription.source), 3)
  msk   = var.kafka.msk_cluster_arn != null
  iam   = var.kafka.auth == "iam"

  # What only a consumer of its own looks at means nothing here, where the mapping reads; the brokers are for dead letters alone.
  platform = {
    KAFKA_BOOTSTRAP_SERVERS        = var.dead_letter.topic == null ? null : var.bootstrap_servers
    KAFKA_OPTION_SECURITY_PROTOCOL = local.iam && var.dead_letter.topic != null ? "sasl_ssl" : null
    KAFKA_OPTION_SASL_MECHANISM    = local.iam && var.dead_letter.topic != null ? "AWS_MSK_IAM" : null
    START_AT                       = null
    # Only together with ReportBatchItemFailures below: a mapping without it takes such an answer for success.
    LAMBDA_PARTIAL_BATCH  = "true"
    METRICS_EMF           = local.own_metrics ? "true" : null
    METRICS_EMF_NAMESPACE = local.own_metrics ? var.metrics_namespace : null
  }

  starts = { earliest = "TRIM_HORIZON", latest = "LATEST" }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/kafka-sidecar/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  function_name                  = var.name
  description                    = "${var.subscription.source}, by kafka-sidecar"
  role                           = local.role_arn
  architectures                  = [var.architecture]
  memory_size                    = var.memory
  timeout                        = var.timeout
  reserved_concurrent_executions = var.reserved_concurrency
  tags                           = var.tags

  package_type      = var.package.image_uri == null ? "Zip" : "Image"
  image_uri         = var.package.image_uri
  s3_bucket         = var.package.s3_bucket
  s3_key            = var.package.s3_key
  s3_object_version = var.package.s3_object_version
  runtime           = var.package.image_uri == null ? "provided.al2023" : null
  handler           = var.package.image_uri == null ? "bootstrap" : null

  environment {
    variables = local.environment
  }

  logging_config {
    log_format = "Text" # what the binary writes is JSON already
    log_group  = aws_cloudwatch_log_group.this.name
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  lifecycle {
    precondition {
      condition     = alltrue([for limit in [var.limits.max_in_flight, var.limits.max_in_flight_bytes, var.limits.parked_max, var.limits.parked_max_bytes] : limit == null])
      error_message = "limits.max_in_flight* and parked_max* mean nothing here: the batch is what is in flight, and nothing is parked beyond it."
    }
    precondition {
      condition     = length(setintersection(keys(var.env), ["START_AT", "END_AT", "COMMIT_INTERVAL", "ADMIN_ADDR", "PAUSED", "SHUTDOWN_TIMEOUT", "KAFKA_OPTION_GROUP_ID"])) == 0
      error_message = "env sets what means nothing here: the event source mapping reads, starts, ends and commits."
    }
    precondition {
      condition     = contains(["none", "sigv4"], coalesce(var.handler.auth, "none")) && contains(["none", "sigv4"], coalesce(var.dead_letter.auth, "none"))
      error_message = "Lambda hands a function no secrets by reference, so auth can only be sigv4, by the function's role. A handler that wants a token is for ecs-subscription."
    }
    precondition {
      condition     = !can(var.subscription.options["group.id"])
      error_message = "The group is the subscription's name here: leave group.id out of subscription.options."
    }
    precondition {
      condition     = var.start_at == null || contains(keys(local.starts), coalesce(var.start_at, "-")) || can(regex("^[0-9]{4}-", coalesce(var.start_at, "-")))
      error_message = "start_at must be earliest, latest or an RFC 3339 time: the mapping takes no age."
    }
  }
}

resource "aws_lambda_event_source_mapping" "this" {
  function_name                      = aws_lambda_function.this.arn
  enabled                            = var.enabled
  event_source_arn                   = var.kafka.msk_cluster_arn
  topics                             = [local.topic]
  batch_size                         = var.batch.size
  maximum_batching_window_in_seconds = var.batch.window_seconds
  starting_position                  = var.start_at == null ? "LATEST" : lookup(local.starts, var.start_at, "AT_TIMESTAMP")
  starting_position_timestamp        = var.start_at == null ? null : contains(keys(local.starts), var.start_at) ? null : var.start_at
  # There is no destination for failures: without one tries are without number, with one it is ten, and the record is passed. Lambda Developer
  # Guide, "Configuring error handling controls for Kafka event sources".
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = var.tags

  # The response type above is one of provisioned mode: "Apache Kafka event poller scaling modes in Lambda".
  provisioned_poller_config {
    minimum_pollers = var.pollers.min
    maximum_pollers = var.pollers.max
  }

  dynamic "amazon_managed_kafka_event_source_config" {
    for_each = local.msk ? [var.name] : []
    content {
      consumer_group_id = amazon_managed_kafka_event_source_config.value
    }
  }

  dynamic "self_managed_kafka_event_source_config" {
    for_each = local.msk ? [] : [var.name]
    content {
      consumer_group_id = self_managed_kafka_event_source_config.value
    }
  }

  dynamic "self_managed_event_source" {
    for_each = local.msk ? [] : [var.bootstrap_servers]
    content {
      endpoints = { KAFKA_BOOTSTRAP_SERVERS = self_managed_event_source.value }
    }
  }

  dynamic "source_access_configuration" {
    for_each = concat(
      var.kafka.secret_arn == null ? [] : [{ type = var.kafka.auth, uri = var.kafka.secret_arn }],
      var.kafka.root_ca_secret_arn == null ? [] : [{ type = "SERVER_ROOT_CA_CERTIFICATE", uri = var.kafka.root_ca_secret_arn }],
      [for id in var.kafka.subnet_ids : { type = "VPC_SUBNET", uri = "subnet:${id}" }],
      [for id in var.kafka.security_group_ids : { type = "VPC_SECURITY_GROUP", uri = "security_group:${id}" }],
    )
    content {
      type = source_access_configuration.value.type
      uri  = source_access_configuration.value.uri
    }
  }

  depends_on = [aws_iam_role_policy.this] # the mapping is refused while the role may not read
}
